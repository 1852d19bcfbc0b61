"""Protocols: what a layer asks of objects whose classes are defined in layers above it.

A user's function is given floats, Values, or what stands for either while a derivative is taken or
a program is traced. The functions that it calls know none of these classes: they ask an object
whether it has one of the methods below, and leave the matter to it.

`has_operators(x)` and its like ask. Where an operation is applied, the question is written out, as
`hasattr(x, "_apply")`, since a call would take longer than the answer.
"""

from collections.abc import Iterator
from typing import Any, Protocol, TypeGuard, TypeVar


class Scalar(Protocol):
    """A number with operators: a Value, a Variable, a traced number, a symbol of the compiler."""

    def _apply(self, operation: Any, *operands: Any) -> Any:
        """Apply an operation, an entry of the table, to operands, of which this is one."""

    def _constant(self, number: float) -> Any:
        """Return a constant of this kind, through which no gradient flows."""


ScalarT = TypeVar("ScalarT", bound=Scalar)
"""For type checkers: a function that is given Values returns a Value."""


class Condition(Protocol):
    """The outcome of a comparison that is not known yet."""

    def _select(self, a: Any, b: Any) -> Any:
        """Return `a` where this holds, else `b`."""


class Differentiable(Protocol):
    """A Variable, which a derivative is being taken by."""

    primal: Any
    """The number that it stands for."""


class Index(Protocol):
    """An integer that is known at run time."""

    def _take_from(self, table: Any) -> Any:
        """Return the table's element, or row, at this index."""


class Results(Protocol):
    """What a mapped function returned, one for each sample."""

    def _total(self) -> Any:
        """Return the sum over the samples."""

    def _mean(self) -> Any:
        """Return the mean over the samples."""


class Drawing(Protocol):
    """A number of a program in which random numbers are drawn at each call."""

    def _uniform(self) -> Any:
        """Return a random number from 0 to 1."""


class OnTape(Protocol):
    """What stands for something while a program is traced: a number, an array, results."""

    _tape: Any

    def _node_on(self, tape: Any) -> int:
        """Return this number's node on a tape, or raise TraceError if it is not one number."""

    def __float__(self) -> float:
        """Raise TraceError: the number is not known yet."""


class StandsForNumber(Protocol):
    """A traced number or condition, but not a Value."""

    _class: type
    """The class of the number that it stands for."""


class StandsForArray(Protocol):
    """An array, or a part of it, while a program is traced."""

    _positions: Any
    """Where its elements are in the array that was passed."""

    def __iter__(self) -> Iterator[Any]:
        """Return its elements or rows."""


class ForSamples(Protocol):
    """A traced number that may be another for each sample."""

    def _pulled(self, number: Any) -> None:
        """Take notice that what follows is for the adjoint of a number; None: of none."""

    def _term_for(self, operand: Any, term: Any) -> Any:
        """Return the term that this adds to the adjoint of `operand`; for each sample, `term`."""


class Stored(Protocol):
    """A parameter whose number lies in an array with others, which move all at once."""

    def _step_together(self, optimizer: Any) -> bool:
        """Do an optimiser's step on all of its parameters, and return whether that was possible."""

    def _zero_together(self, optimizer: Any) -> bool:
        """Set all gradients to zero, and return whether that was possible."""


class Known(Protocol):
    """An object of a class that users know under another name than ours."""

    _known_as: str
    """What a message calls it, with its article: "a Value"."""


def has_operators(x: Any) -> TypeGuard[Scalar]:
    """Return whether `x` is a number with operators, and no plain number."""
    return hasattr(x, "_apply")


def is_condition(x: Any) -> TypeGuard[Condition]:
    """Return whether `x` is a condition that is not known yet."""
    return hasattr(x, "_select")


def is_variable(x: Any) -> TypeGuard[Differentiable]:
    """Return whether `x` is a Variable."""
    return hasattr(x, "primal")


def is_index(x: Any) -> TypeGuard[Index]:
    """Return whether `x` is an integer that is known at run time."""
    return hasattr(x, "_take_from")


def are_results(x: Any) -> TypeGuard[Results]:
    """Return whether `x` is what a mapped function returned."""
    return hasattr(x, "_total")


def is_drawing(x: Any) -> TypeGuard[Drawing]:
    """Return whether random numbers are drawn by `x`."""
    return hasattr(x, "_uniform")


def is_on_tape(x: Any) -> TypeGuard[OnTape]:
    """Return whether `x` stands for something while a program is traced."""
    return hasattr(x, "_node_on")


def stands_for_number(x: Any) -> TypeGuard[StandsForNumber]:
    """Return whether `x` stands for a plain number or a bool."""
    return hasattr(x, "_class")


def stands_for_array(x: Any) -> TypeGuard[StandsForArray]:
    """Return whether `x` stands for an array."""
    return hasattr(x, "_positions")


def is_stored(x: Any) -> TypeGuard[Stored]:
    """Return whether `x` is a parameter that moves together with others."""
    return hasattr(x, "_step_together")
