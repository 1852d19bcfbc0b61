"""Parameters in one flat array, so that no step costs Python time for each of them.

When a lifted function first sees a Value, the Value becomes a window: its class changes to
`Window`, whose `data` and `grad` read and write the arrays of a `Store`. Nothing else changes: it
is the same object, a Value still, for eager code as before.
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from operator import is_
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from liftgrad.engine import Value
from liftgrad.lift.forks import fork_safe_lock
from liftgrad.lift.native.alignment import zeros
from liftgrad.optim import Optimizer

_FEW = 4096
# The slots of a Value are free to hold a window's store and position.
_STORE = Value.__dict__["grad"]
_POSITION = Value.__dict__["data"]
_OPERANDS = Value.__dict__["_prev"]


class NativeUpdate(Protocol):
    """What moves all parameters of a store at once, for one optimiser."""

    def serves(self, optimizer: Optimizer) -> bool:
        """Return whether the optimiser is still what the update was made for."""

    def same_parameters(self, optimizer: Optimizer) -> bool:
        """Return whether the optimiser has the list of parameters that it had."""

    def step(self, optimizer: Optimizer) -> None:
        """Move all parameters of the optimiser."""


MakeUpdate = Callable[["Store", Optimizer], NativeUpdate | None]


class Store:
    """The numbers and gradients of the parameters of one group, in two flat arrays."""

    def __init__(self, values: Sequence[Value], dtype: str) -> None:
        self.numbers = zeros((len(values),), dtype)
        self.numbers[:] = [v.data for v in values]
        self.gradients = zeros((len(values),), dtype)
        # Indexing a memoryview gives a Python float, three times as fast as an array.
        self.number_view = self.numbers.data
        self.gradient_view = self.gradients.data
        self.zeros = np.zeros(len(values) if len(values) <= _FEW else 0, dtype).data
        """Zeros to copy, unless there are many: twice as fast as filling an array."""
        self.runs: weakref.WeakSet[Any] = weakref.WeakSet()
        """The native instances that compute with these numbers."""
        self.settled = True
        """Whether no result computed from these numbers is still to be differentiated."""
        self.make_update: MakeUpdate | None = None
        """Makes the native update for an optimiser, once a native program uses the store.

        Without one, LLVM is not loaded for its sake.
        """
        self.graphs: dict[int, Any] = {}
        """Gradients that are Values themselves, by position."""
        self.updates: weakref.WeakKeyDictionary[Optimizer, NativeUpdate | None]
        self.updates = weakref.WeakKeyDictionary()
        """The native update of each optimiser that holds exactly these parameters, or None."""
        self.latest: tuple[weakref.ref[Optimizer], weakref.ref[NativeUpdate]] | None = None
        """The optimiser that stepped last, and its update; neither is kept alive."""
        gradients = [value.grad for value in values]
        if set(map(type, gradients)) != {float}:
            self.graphs.update((i, g) for i, g in enumerate(gradients) if isinstance(g, Value))
            for position in self.graphs:
                gradients[position] = 0.0
        self.gradients[:] = gradients
        # Loops in C, since there may be millions of values.
        for _ in map(setattr, values, repeat("__class__"), repeat(Window)):
            pass
        for _ in map(_STORE.__set__, values, repeat(self)):
            pass
        for _ in map(_POSITION.__set__, values, range(len(values))):
            pass

    def settle(self) -> None:
        """Compute the gradients of results that are still alive before the numbers change."""
        self.settled = True
        for run in list(self.runs):
            call = run.owner()
            if call is not None:
                call.settle()

    def update_of(self, optimizer: Optimizer) -> "NativeUpdate | None":
        """Return the native update of an optimiser that holds all of this store, else None."""
        if self.make_update is None:
            return None
        known = self.updates.get(optimizer)
        outdated = known is not None and not known.serves(optimizer)
        if outdated or optimizer not in self.updates:
            with _lock:
                values = in_order(optimizer)
                whole = values and _whole_store(values, str(self.numbers.dtype)) is self
            known = self.make_update(self, optimizer) if whole else None
            self.updates[optimizer] = known
        self.latest = None if known is None else (weakref.ref(optimizer), weakref.ref(known))
        return known

    def is_held_by(self, optimizer: Optimizer) -> bool:
        """Return whether an optimiser is known to hold exactly these parameters."""
        references = self.latest
        if references is not None and references[0]() is optimizer:
            latest = references[1]()
            if latest is not None and latest.same_parameters(optimizer):
                return True
        return self.update_of(optimizer) is not None


class Window(Value):
    """A Value whose number and gradient lie in a store's arrays."""

    __slots__ = ()
    _copied_as = Value
    _store = _STORE
    _position = _POSITION
    comparisons: ClassVar[int] = 0
    """How often windows were compared with something; see `LastCall`."""

    @property
    def data(self) -> float:
        """The number."""
        return self._store.number_view[self._position]  # type: ignore[no-any-return]

    @data.setter
    def data(self, number: float) -> None:
        store = self._store
        if not store.settled:
            store.settle()
        store.number_view[self._position] = number

    @property
    def grad(self) -> Any:
        """The gradient."""
        store, position = self._store, self._position
        if store.graphs and position in store.graphs:
            return store.graphs[position]
        return store.gradient_view[position]

    @grad.setter
    def grad(self, gradient: Any) -> None:
        store, position = self._store, self._position
        if isinstance(gradient, Value):
            store.graphs[position] = gradient
            return
        if store.graphs:
            store.graphs.pop(position, None)
        store.gradient_view[position] = gradient

    def _step_together(self, optimizer: Optimizer) -> bool:
        """Move all parameters of the store natively; return whether that was possible."""
        store = self._store
        if store.graphs:
            return False
        latest = store.latest  # checked here, since a call of update_of takes longer
        update = latest[1]() if latest is not None and latest[0]() is optimizer else None
        if update is None or not update.serves(optimizer):
            update = store.update_of(optimizer)
            if update is None:
                return False
        if not store.settled:
            store.settle()
        update.step(optimizer)
        return True

    def _zero_together(self, optimizer: Optimizer) -> bool:
        """Set all gradients of the store to zero, if the optimiser holds all of it."""
        store = self._store
        if store.graphs or not store.is_held_by(optimizer):
            return False
        if store.zeros:
            store.gradient_view[:] = store.zeros
        else:
            store.gradients.fill(0.0)
        return True

    def __eq__(self, other: object) -> Any:
        # Comparing containers asks here only about elements that are not the very same object.
        Window.comparisons += 1
        return Value.__eq__(self, other)

    __hash__ = object.__hash__


class Parameters:
    """How a program reads and moves its parameters: in place where they are one whole store.

    With `apart` they get no store of their own.
    """

    def __init__(self, values: Sequence[Value], dtype: str, *, apart: bool = False) -> None:
        self.values = list(values)
        with _lock:
            self.store = None if apart else _whole_store(self.values, dtype)

    def numbers(self) -> NDArray[Any]:
        """Return the numbers: the store's own array, or a copy."""
        if self.store is not None:
            return self.store.numbers
        return np.array([v.data for v in self.values])

    def add_gradients(self, gradients: NDArray[Any]) -> None:
        """Accumulate gradients."""
        with adding:
            if self.store is not None and not self.store.graphs:
                with np.errstate(all="ignore"):
                    self.store.gradients += gradients
            else:
                for value, gradient in zip(self.values, gradients.tolist(), strict=True):
                    value.grad += gradient

    def settle(self) -> None:
        """Compute the gradients of results that are still alive before the numbers change."""
        if self.store is not None and not self.store.settled:
            self.store.settle()

    def set_numbers(self, numbers: NDArray[Any]) -> None:
        """Set the parameters' numbers."""
        self.settle()
        if self.store is not None:
            self.store.numbers[...] = numbers
        else:
            for value, number in zip(self.values, numbers.tolist(), strict=True):
                value.data = number


def memory_of(parameters: Mapping[int, Parameters]) -> dict[int, NDArray[Any]]:
    """Return the memory of those parameters that have a store, by leaf group."""
    return {i: p.store.numbers for i, p in parameters.items() if p.store is not None}


def in_order(optimizer: Optimizer) -> list[Value]:
    """Return an optimiser's parameters in a store's order; empty if a rule's have another order."""
    if len(optimizer.rules) == 1:
        return optimizer.params
    places = {id(v): _POSITION.__get__(v) for v in optimizer.params if isinstance(v, Window)}
    if len(places) < len(optimizer.params):
        return []
    for rule in optimizer.rules:
        inside = [places[id(v)] for v in rule.params]
        if inside != sorted(inside):
            return []
    return sorted(optimizer.params, key=lambda v: places[id(v)])


def _whole_store(values: list[Value], dtype: str) -> Store | None:
    """Return the store whose windows are exactly these values, made now if they have none."""
    first = values[0]
    if isinstance(first, Window):
        store: Store = _STORE.__get__(first)
        if store.numbers.dtype != dtype or len(store.numbers) != len(values):
            return None
        # Loops in C; a value's store is read only once all values are known to be windows.
        same = (
            set(map(type, values)) == {Window}
            and all(map(is_, map(_STORE.__get__, values), repeat(store)))
            and list(map(_POSITION.__get__, values)) == list(range(len(values)))
        )
        return store if same else None
    # Inner values differ from call to call.
    if set(map(type, values)) == {Value} and not any(map(_OPERANDS.__get__, values)):
        return Store(values, dtype)
    return None


_lock = fork_safe_lock()
adding = fork_safe_lock()
"""Held while gradients are added: functions in several threads may share parameters."""
