"""Tapes of recording mode: operations noted down as numbers, and what they come to.

Operations only append to a tape. It computes when a number is asked for: all nodes noted since
the last time, in one native call. Nodes refer to earlier nodes by number, so that the tape keeps no
object alive for a result; results keep their tape alive, and it goes with the last of them.
"""

import threading
from array import array
from collections.abc import Iterator
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from liftgrad.engine import Value
from liftgrad.errors import LiftError
from liftgrad.lift.recording_machine import BITS, LIMIT, Arrays, machine
from liftgrad.numbers import to_float

SHIFT = float(1 << BITS)
ZERO = 0.0
"""The number of the node that is 0.0, with which Python's sum() starts."""
_serials = count()


class ClosedTapeError(Exception):
    """Something was to be noted down on a tape that does not grow any more."""


class Tape:
    """Nodes in the order in which they were noted down, each with its number, from 0.

    Noting down a node is two steps, `size = size + 1` and an append to `pending`, between which the
    interpreter does not switch threads; what takes more steps holds the lock.
    """

    __slots__ = (
        *("__weakref__", "_adopted", "_machine", "_noted", "_pending_inputs", "_pending_sequences"),
        *("_nodes", "_places", "_sequences", "_values", "changed", "done"),
        *(
            "carried",
            "foreign",
            "grads",
            "labels",
            "leaf_numbers",
            "leaves",
            "links",
            "lock",
            "mixed",
        ),
        *("objects", "open", "own_grads", "pending", "sequence_count", "serial", "size", "view"),
    )

    def __init__(self) -> None:
        self.serial = next(_serials)
        self.lock = threading.RLock()
        self.open = True
        self.size = ZERO
        """The last node's number, a float."""
        self._noted: list[float] = [ZERO]
        self._pending_inputs: list[float] = [0.0]
        self._pending_sequences: list[float] = []
        self.sequence_count = 0
        self.pending: Any = self._noted
        """Where nodes are appended."""
        self.done = 0
        """How many nodes are computed."""
        self._nodes, self._sequences = array("d"), array("d")
        self._values = np.empty(1024)
        self.view = self._values.data
        """The values that are computed; indexing it gives floats."""
        self._machine = machine()

        self.leaves: list[Value] = []
        """Values from outside, once for each time that their numbers were read."""
        self.leaf_numbers: list[float] = []
        self._adopted: list[Any] = []
        """Those that know their number here."""
        self._places: Any = None
        """The leaves' numbers as an array."""
        self.carried: list[Any] = []
        """The leaves that got a gradient, which the next tape will see again, most likely."""
        self.changed = False
        """Whether a leaf may have got another number since it was read."""
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
            self._pending_inputs.append(number)
            node = self.size = self.size + 1.0
            self.pending.append(0.0)
            return node

    def leaf(self, value: Value) -> float:
        """Note down a Value from outside with its number of this moment."""
        data = value.data
        with self.lock:
            node = self.input(data if data.__class__ is float else to_float(data))
            self.leaves.append(value)
            self.leaf_numbers.append(node)
            return node

    def adopt(self, values: list[Any], kind: type) -> None:
        """Know leaves by number until they are set, as long as the tape grows."""
        with self.lock:
            self._check_open()
            self._pending_inputs += [v.data for v in values]
            for value in values:
                value.__class__ = kind
                value._tape = self
                value._index = self.size = self.size + 1.0
                self.pending.append(0.0)
                self.leaf_numbers.append(value._index)
            self.leaves += values
            self._adopted += values

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
            start = self.sequence_count
            self._pending_sequences += numbers
            self.sequence_count += len(numbers)
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
                self.changed = True  # for all that is known once the leaves are plain
                self.pending = _Closed
                for leaf in self._adopted:
                    if getattr(leaf, "_tape", None) is self:
                        leaf.__class__ = Value
                        leaf._prev, leaf._operation = (), ""
                self._adopted = []

    # --- computing ---------------------------------------------------------------------------

    def compute(self) -> None:
        """Compute what was noted down since the last time.

        Raises:
            LiftError: if the tape is too long.

        """
        with self.lock:
            new = array("d", self._noted)
            if not new:
                return
            first, last = self.done, self.done + len(new)
            if last > LIMIT or self.sequence_count > LIMIT:
                raise LiftError(
                    f"more than {LIMIT:,} operations or operands were recorded in one graph; use "
                    "lift(), or smaller batches whose gradients are added up."
                )
            inputs = np.array(self._pending_inputs)
            del self._noted[: len(new)]
            self._pending_inputs.clear()
            self._nodes += new
            self._sequences += array("d", self._pending_sequences)
            self._pending_sequences.clear()
            if last > len(self._values):
                values = np.empty(max(last, 2 * len(self._values)))
                values[:first] = self._values[:first]
                self._values = values
                self.view = values.data
            self._machine.forward(self._arrays(), inputs, first, last)
            self.done = last

    def differentiate(self, seeds: dict[int, float]) -> Iterator[tuple[Any, float]]:
        """Set the gradients of what the seeds' nodes were made of.

        Returns the results on other tapes among them, with their adjoints from here.
        """
        with self.lock:
            self.compute()
            if self._places is None or len(self._places) < len(self.leaves):
                self._places = np.array(self.leaf_numbers, np.int64)
            if self.changed:
                # As in eager, derivatives are taken at the numbers that leaves have now.
                self._values[self._places] = [leaf.data for leaf in self.leaves]
            self.changed = True  # for all that is known from here on
            adjoints, reached = np.zeros(self.done), np.zeros(self.done, np.uint8)
            for node, seed in seeds.items():
                adjoints[node], reached[node] = seed, 1
            self._machine.backward(self._arrays(), adjoints, reached, max(seeds) + 1)
            self._keep(adjoints, reached)
            parts = adjoints[self._places].tolist()
            meant = reached[self._places]
            self.carried = self.leaves
            if meant.all():
                for leaf, part in zip(self.leaves, parts, strict=True):
                    leaf.grad += part
            else:
                self.carried = []
                for leaf, part, met in zip(self.leaves, parts, meant.tolist(), strict=True):
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
            np.frombuffer(self._sequences) if self._sequences else np.empty(0),
            self._values,
        )

    # --- walking -----------------------------------------------------------------------------

    def node(self, number: int) -> float:
        """Return a node."""
        self.compute()
        return self._nodes[number]

    def operand_numbers(self, start: int, length: int) -> list[int]:
        """Return the operands of an operation on a sequence."""
        return [int(x) for x in self._sequences[start : start + length]]

    def leaf_of(self, number: int) -> Value | None:
        """Return the leaf that a node stands for, if it does."""
        if float(number) in self.leaf_numbers:
            return self.leaves[self.leaf_numbers.index(float(number))]
        return None


def differentiate(tape: Tape, number: int) -> None:
    """Set the gradients of all that a node was made of, on its tape and on older ones."""
    owed: dict[Tape, dict[int, float]] = {tape: {number: 1.0}}
    while owed:
        latest = max(owed, key=lambda t: t.serial)
        for result, adjoint in latest.differentiate(owed.pop(latest)):
            seeds = owed.setdefault(result._tape, {})
            place = int(result._index)
            seeds[place] = seeds.get(place, 0.0) + adjoint


class _Closed:
    """In place of the list of a closed tape."""

    @staticmethod
    def append(_node: float) -> None:
        raise ClosedTapeError
