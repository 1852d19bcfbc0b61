"""Tapes of recording mode: operations noted down as numbers, and what they come to.

Operations only append to a tape. It computes when a number is asked for: all nodes noted since
the last time, in one native call. Nodes refer to earlier nodes by number, so that the tape keeps no
object alive for a result; results keep their tape alive, and it goes with the last of them.
"""

import threading
from array import array
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from liftgrad.engine import Value
from liftgrad.errors import LiftError
from liftgrad.lift.forks import renew_in_child
from liftgrad.numbers import to_float
from liftgrad.record.machine import BITS, LIMIT, Arrays, machine

SHIFT = float(1 << BITS)
ZERO = 0.0
"""The number of the node that is 0.0, with which Python's sum() starts."""
_serials = count()
_PREV = Value.__dict__["_prev"]


class ClosedTapeError(Exception):
    """Something was to be noted down on a tape that does not grow any more."""


class Tape:
    """Nodes in the order in which they were noted down, each with its number, from 0.

    Noting down a node is two steps, `size = size + 1` and an append to `pending`, between which the
    interpreter does not switch threads; what takes more steps holds the lock.
    """

    __slots__ = (
        *("__weakref__", "_computing", "_inputs", "_machine", "_nodes", "_noted", "_noted_inputs"),
        *("_noted_sequences", "_sequences", "_values", "carried", "done", "foreign"),
        *("grads", "labels", "leaves", "links", "lock", "mixed", "objects", "open", "own_grads"),
        *("pending", "serial", "size", "view"),
    )

    def __init__(self) -> None:
        self.serial = next(_serials)
        self.lock = threading.RLock()
        renew_in_child(self)
        self.open = True
        self.size = ZERO
        """The last node's number, a float."""
        self._noted, self._noted_inputs, self._noted_sequences = [ZERO], [0.0], list[float]()
        self.pending: Any = self._noted
        """Where nodes are appended."""
        self._nodes, self._inputs, self._sequences = array("d"), array("d"), array("d")
        self._values = np.empty(1024)
        self.view = self._values.data
        """The values that are computed; indexing it gives floats."""
        self.done = 0
        """How many nodes are computed."""
        self._computing = False
        self._machine = machine()

        self.leaves: dict[float, Value] = {}
        """Values from outside by number, once for each time that they were read."""
        self.carried: list[Any] = []
        """The leaves that got a gradient, which the next tape will see again, most likely."""
        self.foreign: dict[int, Any] = {}
        """Results on older tapes that this one goes on with, by their numbers here."""
        self.links: dict[tuple[int, float], float] = {}
        """Their numbers here by their tapes' serials and numbers there."""
        self.mixed = False
        """Whether there are operands with a graph that is on no tape."""

        self.grads: Any = None
        """The adjoints found last, as far as nodes were reached, else those found before."""
        self.own_grads: dict[int, Any] = {}
        """Gradients that were set one by one."""
        self.labels: dict[int, str] = {}
        self.objects: WeakValueDictionary[int, Any] = WeakValueDictionary()
        """Operands that were made for those who walk the graph."""

    # --- noting down -------------------------------------------------------------------------

    def input(self, number: float) -> float:
        """Note down a number from outside; return its node's number."""
        with self.lock:
            self._check_open()
            place = float(len(self._inputs) + len(self._noted_inputs))
            self._noted_inputs.append(number)
            node = self.size = self.size + 1.0
            self.pending.append(place)
            return node

    def leaf(self, value: Value) -> float:
        """Note down a Value from outside with its number of this moment."""
        data = value.data
        node = self.input(data if data.__class__ is float else to_float(data))
        self.leaves[node] = value
        return node

    def adopt(self, values: list[Any], kind: type) -> float:
        """Know leaves by number until they are set, as long as the tape grows.

        Returns the last one's number.
        """
        with self.lock:
            self._check_open()
            place = float(len(self._inputs) + len(self._noted_inputs))
            self._noted_inputs += [v.data for v in values]
            for value in values:
                node = self.size = self.size + 1.0
                self.pending.append(place)
                place += 1.0
                self.leaves[node] = value
                plain = value.__class__ is Value
                if plain:  # else another thread's tape was faster
                    value.__class__ = kind
                    value._tape, value._index = self, node
            return self.size

    def link(self, result: Any, tape: "Tape", number: float) -> float:
        """Note down a result that lies on another tape."""
        known = self.links.get((tape.serial, number))
        if known is not None:
            return known
        tape.close()
        with self.lock:
            node = self.links[tape.serial, number] = self.input(result.data)
            self.foreign[int(node)] = result
            self.mixed |= tape.mixed
            return node

    def sequence(self, code: float, numbers: list[float]) -> float:
        """Note down an operation on a sequence."""
        with self.lock:
            self._check_open()
            start = len(self._sequences) + len(self._noted_sequences)
            self._noted_sequences += numbers
            node = self.size = self.size + 1.0
            self.pending.append(code + len(numbers) * SHIFT + start)
            return node

    def _check_open(self) -> None:
        if not self.open:
            raise ClosedTapeError

    def close(self) -> None:
        """Let the tape grow no more, and its leaves go."""
        with self.lock:
            if self.open:
                self.open = False
                self.pending = _Closed
                for leaf in self.leaves.values():
                    if getattr(leaf, "_tape", None) is self:
                        leaf.__class__ = Value
                        leaf._prev, leaf._operation = (), ""

    def forget(self) -> None:
        """Keep what is computed; what another thread was at when the process forked is lost."""
        self._computing = True
        for leaf in self.leaves.values():
            # Some may be on their way to this tape or from it.
            tape = _PREV.__get__(leaf)
            if tape is self or (not tape and hasattr(type(leaf), "_tape")):
                leaf.__class__ = Value
                leaf._prev, leaf._operation = (), ""
        self.close()

    # --- computing ---------------------------------------------------------------------------

    def compute(self) -> None:
        """Compute what was noted down since the last time.

        Raises:
            LiftError: if the tape is too long, or an earlier call was interrupted.

        """
        with self.lock:
            new = array("d", self._noted)
            if not new and not self._computing:
                return
            first, last = self.done, self.done + len(new)
            places = len(self._sequences) + len(self._noted_sequences)
            if self._computing or max(last, places) > LIMIT:
                self.close()
                raise _interrupted() if self._computing else _too_long()
            self._computing = True
            del self._noted[: len(new)]
            self._nodes += new
            self._inputs += array("d", self._noted_inputs)
            self._sequences += array("d", self._noted_sequences)
            self._noted_inputs.clear()
            self._noted_sequences.clear()
            if last > len(self._values):
                values = np.empty(max(last, 2 * len(self._values)))
                values[:first] = self._values[:first]
                self._values = values
                self.view = values.data
            self._machine.forward(self._arrays(), first, last)
            self.done = last
            self._computing = False

    def differentiate(self, seeds: dict[int, float]) -> Iterator[tuple[Any, float]]:
        """Set the gradients of what the seeds' nodes were made of.

        Returns the results on other tapes among them, with their adjoints from here.
        """
        with self.lock:
            self.compute()
            leaves, places = self.leaves.values(), np.array(list(self.leaves), np.int64)
            adjoints, reached = np.zeros(self.done), np.zeros(self.done, np.uint8)
            for node, seed in seeds.items():
                adjoints[node], reached[node] = seed, 1
            self._machine.backward(self._arrays(), adjoints, reached, max(seeds) + 1)
            self._keep(adjoints, reached)
            parts, meant = adjoints[places].tolist(), reached[places].tolist()
            self.carried = []
            for leaf, part, met in zip(leaves, parts, meant, strict=True):
                if met:
                    leaf.grad += part
                    self.carried.append(leaf)
            return iter(
                [(r, float(adjoints[node])) for node, r in self.foreign.items() if reached[node]]
            )

    def _keep(self, adjoints: Any, reached: Any) -> None:
        """Take the new gradients of the nodes that were reached."""
        if self.own_grads:
            self.own_grads = {n: g for n, g in self.own_grads.items() if not reached[n]}
        if self.grads is not None:
            missed = np.flatnonzero(reached[: len(self.grads)] == 0)
            adjoints[missed] = self.grads[missed]
        self.grads = adjoints

    def gradient(self, node: int) -> Any:
        """Return a node's gradient."""
        if node in self.own_grads:
            return self.own_grads[node]
        if self.grads is None or node >= len(self.grads):
            return 0.0
        return float(self.grads[node])

    def _arrays(self) -> Arrays:
        return Arrays(
            np.frombuffer(self._nodes),
            np.frombuffer(self._inputs),
            np.frombuffer(self._sequences) if self._sequences else np.empty(0),
            self._values,
        )

    # --- walking -----------------------------------------------------------------------------

    def node(self, number: int) -> float:
        """Return a node."""
        self.compute()
        return self._nodes[number]

    @property
    def sequences(self) -> Sequence[float]:
        """The operands of operations on sequences, as far as they are computed."""
        return self._sequences


def differentiate(tape: Tape, number: int) -> None:
    """Set the gradients of all that a node was made of, on its tape and on older ones."""
    owed: dict[Tape, dict[int, float]] = {tape: {number: 1.0}}
    while owed:
        latest = max(owed, key=lambda t: t.serial)
        for result, adjoint in latest.differentiate(owed.pop(latest)):
            seeds = owed.setdefault(result._tape, {})
            place = int(result._index)
            seeds[place] = seeds.get(place, 0.0) + adjoint


def _too_long() -> LiftError:
    return LiftError(
        f"more than {LIMIT:,} operations or operands were recorded in one graph; use lift(), or "
        "smaller batches whose gradients are added up."
    )


def _interrupted() -> LiftError:
    return LiftError(
        "computing what was recorded was interrupted, and its results are lost; compute them anew."
    )


class _Closed:
    """In place of the list of a closed tape."""

    @staticmethod
    def append(_node: float) -> None:
        raise ClosedTapeError
