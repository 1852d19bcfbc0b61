"""Recordings: operations recorded as numbers, and their results, adjoints and objects.

Recording an operation only appends a number. When a result is asked for, all nodes recorded since
the last time are computed in one native call. Nodes refer to earlier nodes by index, so that a
recording keeps no object alive for a result; results keep their recording alive, which is freed
with the last of them.
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
from liftgrad.lift.machine.machine import machine
from liftgrad.lift.machine.nodes import LIMIT, SHIFT, Arrays
from liftgrad.numbers import to_float

ZERO = 0.0
"""The index of the node that is 0.0, with which Python's sum() starts."""
_serials = count()
_PREV = Value.__dict__["_prev"]


class ClosedError(Exception):
    """An operation was to be recorded on a recording that grows no more."""


class Recording:
    """Nodes in the order in which they were recorded, each with its index, from 0.

    Recording a node takes two steps, `last = last + 1` and an append to `pending`, between which
    the interpreter does not switch threads; what takes more steps holds the lock.
    """

    __slots__ = (
        *("__weakref__", "_all_values", "_computing", "_inputs", "_machine", "_new_inputs"),
        *("_new_nodes", "_new_sequences", "_nodes", "_sequences", "carried", "done", "foreign"),
        *("grads", "labels", "last", "leaves", "links", "lock", "mixed", "objects", "open"),
        *("own_grads", "pending", "serial", "values"),
    )

    def __init__(self) -> None:
        self.serial = next(_serials)
        self.lock = threading.RLock()
        renew_in_child(self)
        self.open = True
        """Whether it still grows."""
        self.last = ZERO
        """The index of the last node, a float."""
        self._new_nodes, self._new_inputs, self._new_sequences = [ZERO], [0.0], list[float]()
        self.pending: Any = self._new_nodes
        """The list to which nodes are appended."""
        self._nodes, self._inputs, self._sequences = array("d"), array("d"), array("d")
        self._all_values = np.empty(1024)
        self.values = self._all_values.data
        """The values that are computed; indexing gives floats."""
        self.done = 0
        """How many nodes are computed."""
        self._computing = False
        self._machine = machine()

        self.leaves: dict[float, Value] = {}
        """Values from outside by index, once for each time that they were read."""
        self.carried: list[Any] = []
        """The leaves that got a gradient: the next recording will most likely use them again."""
        self.foreign: dict[int, Any] = {}
        """Results on older recordings that are inputs of this one, by their indices here."""
        self.links: dict[tuple[int, float], float] = {}
        """Their indices here by their recordings' serial numbers and indices there."""
        self.mixed = False
        """Whether there are operands with a graph that is on no recording."""

        self.grads: Any = None
        """The adjoints of the last differentiation, or of earlier ones for nodes not reached."""
        self.own_grads: dict[int, Any] = {}
        """Gradients that were set one by one."""
        self.labels: dict[int, str] = {}
        self.objects: WeakValueDictionary[int, Any] = WeakValueDictionary()
        """The operands that were made for those who walk the graph."""

    # --- recording ---------------------------------------------------------------------------

    def input(self, number: float) -> float:
        """Record a number from outside; return its node's index."""
        with self.lock:
            self._check_open()
            position = float(len(self._inputs) + len(self._new_inputs))
            self._new_inputs.append(number)
            index = self.last = self.last + 1.0
            self.pending.append(position)
            return index

    def leaf(self, value: Value) -> float:
        """Record a Value from outside with its present number."""
        data = value.data
        index = self.input(data if data.__class__ is float else to_float(data))
        self.leaves[index] = value
        return index

    def adopt(self, values: list[Any], adopted: type) -> float:
        """Record leaves, which know their indices until they are set or the recording is closed.

        Returns the last one's index.
        """
        with self.lock:
            self._check_open()
            position = float(len(self._inputs) + len(self._new_inputs))
            self._new_inputs += [v.data for v in values]
            for value in values:
                index = self.last = self.last + 1.0
                self.pending.append(position)
                position += 1.0
                self.leaves[index] = value
                plain = value.__class__ is Value
                if plain:  # else another thread has adopted it first
                    value.__class__ = adopted
                    value._recording, value._index = self, index
            return self.last

    def link(self, result: Any, other: "Recording", index: float) -> float:
        """Record a result on another recording as an input of this one."""
        known = self.links.get((other.serial, index))
        if known is not None:
            return known
        other.close()
        with self.lock:
            here = self.links[other.serial, index] = self.input(result.data)
            self.foreign[int(here)] = result
            self.mixed |= other.mixed
            return here

    def sequence(self, code: float, indices: list[float]) -> float:
        """Record an operation on a sequence."""
        with self.lock:
            self._check_open()
            start = len(self._sequences) + len(self._new_sequences)
            self._new_sequences += indices
            index = self.last = self.last + 1.0
            self.pending.append(code + len(indices) * SHIFT + start)
            return index

    def _check_open(self) -> None:
        if not self.open:
            raise ClosedError

    def close(self) -> None:
        """Grow no more, and let the leaves go."""
        with self.lock:
            if self.open:
                self.open = False
                self.pending = _Closed
                for leaf in self.leaves.values():
                    if getattr(leaf, "_recording", None) is self:
                        leaf.__class__ = Value
                        leaf._prev, leaf._operation = (), ""

    def forget(self) -> None:
        """Keep what is computed: what another thread was computing at a fork is lost."""
        self._computing = True
        for leaf in self.leaves.values():
            # Some may be half adopted or half released.
            recording = _PREV.__get__(leaf)
            if recording is self or (not recording and hasattr(type(leaf), "_recording")):
                leaf.__class__ = Value
                leaf._prev, leaf._operation = (), ""
        self.close()

    # --- computing ---------------------------------------------------------------------------

    def compute(self) -> None:
        """Compute what was recorded since the last time.

        Raises:
            LiftError: if the recording is too long, or an earlier call was interrupted.

        """
        with self.lock:
            new = array("d", self._new_nodes)
            if not new and not self._computing:
                return
            first, end = self.done, self.done + len(new)
            operands = len(self._sequences) + len(self._new_sequences)
            if self._computing or max(end, operands) > LIMIT:
                self.close()
                raise _interrupted() if self._computing else _too_long()
            self._computing = True
            del self._new_nodes[: len(new)]
            self._nodes += new
            self._inputs += array("d", self._new_inputs)
            self._sequences += array("d", self._new_sequences)
            self._new_inputs.clear()
            self._new_sequences.clear()
            if end > len(self._all_values):
                values = np.empty(max(end, 2 * len(self._all_values)))
                values[:first] = self._all_values[:first]
                self._all_values = values
                self.values = values.data
            self._machine.forward(self._arrays(), first, end)
            self.done = end
            self._computing = False

    def differentiate(self, seeds: dict[int, float]) -> Iterator[tuple[Any, float]]:
        """Set the gradients of all that the seeds' nodes were made of.

        Returns the results on other recordings among them, with their adjoints from here.
        """
        with self.lock:
            self.compute()
            leaves, indices = self.leaves.values(), np.array(list(self.leaves), np.int64)
            adjoints, reached = np.zeros(self.done), np.zeros(self.done, np.uint8)
            for index, seed in seeds.items():
                adjoints[index], reached[index] = seed, 1
            self._machine.backward(self._arrays(), adjoints, reached, max(seeds) + 1)
            self._keep(adjoints, reached)
            of_leaves, are_reached = adjoints[indices].tolist(), reached[indices].tolist()
            self.carried = []
            for leaf, adjoint, is_reached in zip(leaves, of_leaves, are_reached, strict=True):
                if is_reached:
                    leaf.grad += adjoint
                    self.carried.append(leaf)
            return iter(
                [(r, float(adjoints[index])) for index, r in self.foreign.items() if reached[index]]
            )

    def _keep(self, adjoints: Any, reached: Any) -> None:
        """Set the gradients of the nodes that were reached."""
        if self.own_grads:
            self.own_grads = {i: g for i, g in self.own_grads.items() if not reached[i]}
        if self.grads is not None:
            missed = np.flatnonzero(reached[: len(self.grads)] == 0)
            adjoints[missed] = self.grads[missed]
        self.grads = adjoints

    def gradient(self, index: int) -> Any:
        """Return a node's gradient."""
        if index in self.own_grads:
            return self.own_grads[index]
        if self.grads is None or index >= len(self.grads):
            return 0.0
        return float(self.grads[index])

    def _arrays(self) -> Arrays:
        return Arrays(
            np.frombuffer(self._nodes),
            np.frombuffer(self._inputs),
            np.frombuffer(self._sequences) if self._sequences else np.empty(0),
            self._all_values,
        )

    # --- walking the graph -------------------------------------------------------------------

    def node(self, index: int) -> float:
        """Return a node."""
        self.compute()
        return self._nodes[index]

    @property
    def sequences(self) -> Sequence[float]:
        """The operands of the operations on sequences that are computed."""
        return self._sequences


def differentiate(recording: Recording, index: int) -> None:
    """Set the gradients of all that a node was made of, on its recording and on older ones."""
    owed: dict[Recording, dict[int, float]] = {recording: {index: 1.0}}
    while owed:
        latest = max(owed, key=lambda r: r.serial)
        for result, adjoint in latest.differentiate(owed.pop(latest)):
            seeds = owed.setdefault(result._recording, {})
            there = int(result._index)
            seeds[there] = seeds.get(there, 0.0) + adjoint


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
    """In place of the list of a closed recording."""

    @staticmethod
    def append(_node: float) -> None:
        raise ClosedError
