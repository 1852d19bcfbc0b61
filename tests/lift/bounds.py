"""How far rounding may take the results of a program, by running error analysis.

A `Number` knows how far it may be off if every operation rounds on its own and sums are added up
in any order. Comparing numbers that may be off by more than their distance raises UnstableError.
Equal operations on the same operands are one Number, as on a tape: with infinities it makes a
difference whether a gradient is summed up before or after it is multiplied with something.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from liftgrad import ops
from liftgrad.numbers import to_float
from liftgrad.operators import Operators
from liftgrad.ops import Operation


@dataclass(frozen=True)
class Format:
    """A floating-point format: its unit, its smallest number, and where under- and overflow begin.

    `small` is what a number near underflow may be off by.
    """

    unit: float
    least: float
    low: float
    small: float
    high: float


FORMATS = {
    "float64": Format(2.0**-52, 5e-324, 1e-300, 1e-305, 1e300),
    "float32": Format(2.0**-23, 1.5e-45, 1e-36, 1e-37, 1e36),
}
_SUMS = (ops.add, ops.subtract)
_EXACT = frozenset({ops.negate, ops.absolute, ops.maximum, ops.minimum, ops.relu, ops.largest})


class UnstableError(Exception):
    """The outcome of a comparison depends on rounding."""


class Number(Operators):
    """A float, how far it may be off, and how it was made."""

    __slots__ = ("error", "number", "operands", "operation", "terms")
    made: ClassVar[dict[Any, "Number"]] = {}
    """All that were made by operations on the operands of one program."""
    format: ClassVar[Format] = FORMATS["float64"]
    """The format in which the program that is compared computes."""

    def __init__(
        self,
        number: float,
        error: float = 0.0,
        terms: float | None = None,
        operation: Operation | None = None,
        operands: tuple["Number", ...] = (),
    ) -> None:
        self.number = number
        self.error = math.inf if error != error else error
        self.terms = abs(number) if terms is None else terms
        """The sum of the magnitudes of the terms, if this is a sum."""
        self.operation, self.operands = operation, operands

    def _apply(self, operation: Operation, *operands: Any) -> "Number":
        numbers = tuple(x if isinstance(x, Number) else _constant(to_float(x)) for x in operands)
        key = (operation, *map(id, numbers))
        found = Number.made.get(key)
        if found is None:
            found = _dot(numbers) if operation is ops.dot else _made(operation, numbers)
            Number.made[key] = found
        return found

    def _constant(self, number: float) -> "Number":
        return _constant(number)

    @property
    def data(self) -> "Number":
        """This number as a constant."""
        return Number.made.setdefault(
            ("data", id(self)), Number(self.number, self.error, self.terms)
        )

    def _difference(self, other: Any) -> float:
        if not isinstance(other, Number):
            other = Number(to_float(other))
        a, b = self.number, other.number
        error = self.error + other.error
        apart = abs(a - b) > error or (a == b and math.isinf(a))
        if error > 2e3 * self.format.least and not apart:
            raise UnstableError
        return math.nan if math.isnan(a) or math.isnan(b) else 0.0 if a == b else a - b

    def __lt__(self, other: Any) -> bool:
        return self._difference(other) < 0.0

    def __le__(self, other: Any) -> bool:
        return self._difference(other) <= 0.0

    def __gt__(self, other: Any) -> bool:
        return self._difference(other) > 0.0

    def __ge__(self, other: Any) -> bool:
        return self._difference(other) >= 0.0

    def __eq__(self, other: object) -> Any:
        return self._difference(other) == 0.0

    def __ne__(self, other: object) -> Any:
        return self._difference(other) != 0.0

    __hash__ = object.__hash__


def rounded(number: float) -> Number:
    """Return a number that the program is given, which is rounded to the format."""
    exact = Number.format is FORMATS["float64"] or not math.isfinite(number)
    return Number(number, 0.0 if exact else Number.format.unit * abs(number))


def _constant(number: float) -> Number:
    return Number.made.setdefault(repr(number), rounded(number))


def _made(operation: Operation, numbers: tuple[Number, ...]) -> Number:
    data = [x.number for x in numbers]
    result = operation.forward(*data)
    terms = None
    form = Number.format
    if operation is ops.total or operation in _SUMS:
        terms = sum(x.terms for x in numbers)
        error = sum(x.error for x in numbers)
        # The sign of a sum that is zero depends on the order, and so does what divides by it.
        error += len(numbers) * form.unit * terms if len(numbers) > 1 else 0.0
        if result == 0.0:
            error += form.least
        if not math.isfinite(result):
            error = _uncertain_sum(numbers)
    else:
        error = sum(_sensitivity(operation, data, j, x.error) for j, x in enumerate(numbers))
        if operation not in _EXACT and math.isfinite(result):
            error += 8 * form.unit * abs(result)
            error += form.least if operation is ops.power else 0.0
            if (abs(result) < form.low and result != 0.0) or (result == 0.0 and any(data)):
                error += form.small  # what underflows may do so at another time
        if abs(result) > form.high and all(abs(x) < math.inf for x in data):
            error = math.inf  # so may what overflows
    return Number(result, error, terms, operation, numbers)


def _dot(numbers: tuple[Number, ...]) -> Number:
    n = len(numbers) // 2
    start = list(numbers[2 * n :]) or [_constant(0.0)]
    products = [a * b for a, b in zip(numbers[:n], numbers[n : 2 * n], strict=True)]
    return ops.total(*start, *products)  # type: ignore[return-value]


def _uncertain_sum(numbers: Sequence[Number]) -> float:
    finite = [x for x in numbers if math.isfinite(x.number)]
    if len(finite) == len(numbers) or any(x.error == math.inf for x in numbers):
        return math.inf
    return 0.0


def _sensitivity(operation: Operation, data: list[float], j: int, error: float) -> float:
    """Return how far a result may be off because operand j is."""
    if error == 0.0:
        return 0.0
    if error == math.inf:
        return math.inf
    result = operation.forward(*data)
    change = 0.0
    for moved in (data[j] - error, data[j] + error):
        other = operation.forward(*data[:j], moved, *data[j + 1 :])
        if other != result and not (math.isnan(other) and math.isnan(result)):
            change = max(change, abs(other - result)) if abs(other) < math.inf else math.inf
    return change


def gradient(
    results: Sequence[Number], weights: Sequence[float], leaves: Sequence[Number]
) -> list[Number]:
    """Return the gradient of the weighted sum of the results, as Numbers."""
    order: list[Number] = []
    known: set[int] = set()
    stack = [(x, False) for x, w in zip(results, weights, strict=True) if w]
    while stack:
        number, done = stack.pop()
        if done:
            order.append(number)
        elif id(number) not in known:
            known.add(id(number))
            stack.append((number, True))
            stack.extend((x, False) for x in number.operands)
    adjoints: dict[int, list[Number]] = {}
    for x, w in zip(results, weights, strict=True):
        if w:
            adjoints.setdefault(id(x), []).append(_constant(w))
    for number in reversed(order):
        if number.operation is None:
            continue
        g = ops.total(*adjoints[id(number)])
        assert number.operation.pullback is not None
        parts = number.operation.pullback(g, number, *number.operands)
        for operand, part in zip(number.operands, parts, strict=True):
            adjoints.setdefault(id(operand), []).append(
                part if isinstance(part, Number) else _constant(part)
            )
    return [ops.total(*adjoints.get(id(x), [_constant(0.0)])) for x in leaves]
