"""Composition: an operation as a composition of others, found by running it once on symbols.

So the compiler computes an operation that has no LLVM template, and NumPy one for which it has no
function. The operation stays one in the program: it has its own derivative, and prints by its name.

>>> from liftgrad import functional
>>> for step in composition_of(functional.gelu, "gelu", 1).steps:
...     print(step.operation.name, *step.operands)
multiply 0 0.7071067811865476
erf 1
add 2 1.0
multiply 3 0.5
multiply 0 4
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, reduce
from typing import Any, NamedTuple, TypeVar

from liftgrad import ops
from liftgrad.errors import TraceError
from liftgrad.numbers import is_number, kind_of, to_float
from liftgrad.operators import Symbolic
from liftgrad.ops import Operation
from liftgrad.protocols import has_operators

T = TypeVar("T")

INSTRUCTIONS = ", or give it LLVM instructions, as llvm="
"""What helps where a forward cannot be composed, and does not help for a derivative."""


class Step(NamedTuple):
    """One operation on operands and results of earlier steps, by number, and on constants."""

    operation: Operation
    operands: tuple[float, ...]
    """An int is the number of an operand or result, a float a constant."""


class Composition(NamedTuple):
    """Operations in order. Operands have the first numbers, results of steps the next."""

    steps: tuple[Step, ...]
    results: tuple[float, ...]

    def evaluate(
        self,
        operands: Sequence[T],
        apply: Callable[[Operation, list[T]], T],
        constant: Callable[[float], T],
    ) -> list[T]:
        """Return the results, each operation being done by `apply` on what it is given."""
        values = list(operands)

        def value(x: float) -> T:
            return values[x] if isinstance(x, int) else constant(x)

        for operation, given in self.steps:
            values += [apply(operation, [value(x) for x in given])]
        return [value(x) for x in self.results]


class _Symbol(Symbolic):
    """An operand, or the result of a step: an operation on it appends a step."""

    __slots__ = ("number", "steps")

    def __init__(self, steps: list[Step | None], number: int) -> None:
        self.steps, self.number = steps, number

    def _apply(self, operation: Operation, *operands: Any) -> Any:
        if operation is ops.largest:
            return reduce(ops.maximum, operands)
        if operation.arity is None:
            return operation.forward(*operands)
        numbers = tuple([_number(x) for x in operands])
        self.steps.append(Step(operation, numbers))
        return _Symbol(self.steps, len(self.steps) - 1)

    def _constant(self, number: float) -> Any:
        return number


def _number(x: Any) -> float:
    return x.number if isinstance(x, _Symbol) else to_float(x)


def composition_of(
    function: Callable[..., Any], name: str, arity: int, instead: str = ""
) -> Composition:
    """Return the composition of operations that a function is.

    Args:
        function: returns one number, or a tuple or list of numbers.
        name: what the function is called in an error.
        arity: how many numbers it takes.
        instead: what else than to compose it helps, for an error.

    Raises:
        TraceError: if the function is more than operations, with the line at which it is.

    """
    steps: list[Step | None] = [None] * arity  # in the place of operands, to count them
    try:
        given = function(*[_Symbol(steps, i) for i in range(arity)])
        results = tuple([_number(x) for x in as_tuple(given)])
    except Exception as error:
        raise not_composed(function, name, error, instead) from error
    return Composition(tuple([step for step in steps if step is not None]), results)


class OnFloats:
    """A user's function on floats, with IEEE 754's results.

    Where Python raises, as at 1 / 0.0, or gives a complex number, the operations that the function
    is composed of are done one by one.

    Args:
        function: returns one number, or a tuple or list of numbers.
        name: what the function is called in an error.
        arity: how many floats it takes.
        count: how many numbers it has to return.
        instead: what else than to compose it helps, for an error.

    """

    __slots__ = ("_composition", "arity", "count", "function", "instead", "name")

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        arity: int,
        count: int = 1,
        instead: str = "",
    ) -> None:
        self.function, self.name, self.arity, self.count = function, name, arity, count
        self.instead = instead
        self._composition: Composition | None = None

    def __call__(self, *operands: float) -> Any:
        """Return a float, or a tuple of several."""
        try:
            given = self.function(*operands)
        except (ArithmeticError, ValueError):
            given = self._composed(operands)
            if given is None:
                raise
        if given.__class__ is float and self.count == 1:
            return given
        results = as_tuple(given)
        if any(isinstance(x, complex) for x in results):
            results = self._composed(operands) or results
        self.check(results)
        floats = tuple(map(to_float, results))
        return floats if self.count > 1 else floats[0]

    def check(self, results: tuple[Any, ...]) -> None:
        """Raise TypeError unless these are as many numbers as the function has to return."""
        for x in results:
            if not (is_number(x) or isinstance(x, complex) or has_operators(x)):
                raise TypeError(f"{self.name} gives {kind_of(x)}; return a number.")
        if len(results) != self.count:
            found = f"{self.name} gives {len(results)} number{'s' * (len(results) != 1)}"
            if self.count == 1:
                raise TypeError(f"{found}; return one.")
            raise TypeError(f"{found} for {self.count} operands; return one for each, as a tuple.")

    def _composed(self, operands: tuple[float, ...]) -> tuple[float, ...] | None:
        """Return the results by the function's operations, or None if it is more than those."""
        try:
            composition = self.composition()
        except TraceError:
            return None
        return tuple(composition.evaluate(operands, _on_floats, float))

    def composition(self) -> Composition:
        """Return the operations that the function is composed of."""
        if self._composition is None:
            self._composition = composition_of(self.function, self.name, self.arity, self.instead)
        return self._composition


def _on_floats(operation: Operation, operands: list[float]) -> float:
    return operation.forward(*operands)


def forward_of(operation: Operation) -> Composition:
    """Return the composition of operations that gives an operation's result.

    Raises:
        TraceError: as `composition_of`.

    """
    forward = operation.forward
    return forward.composition() if isinstance(forward, OnFloats) else _of_entry(operation)


@lru_cache
def _of_entry(operation: Operation) -> Composition:
    assert operation.arity is not None
    name = f"the operation {operation.name!r}"
    return composition_of(operation.forward, name, operation.arity, INSTRUCTIONS)


def as_tuple(given: Any) -> tuple[Any, ...]:
    """Return what a function has returned as a tuple of its results, of which there may be one."""
    return tuple(given) if isinstance(given, tuple | list) else (given,)


def not_composed(
    function: Callable[..., Any], name: str, error: Exception, instead: str = ""
) -> TraceError:
    """Return the error that says why a function cannot be compiled, and on which line."""
    code = getattr(function, "__code__", None)
    if code is None:
        return TraceError(
            f"{name} cannot be compiled, since {function!r} is not written in Python; compose it "
            f"of operators and functions of liftgrad.functional{instead}."
        )
    line, traceback = code.co_firstlineno, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == code.co_filename:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return TraceError(
        f"{code.co_filename}:{line}: {name} cannot be compiled: {str(error).removesuffix('.')}; "
        f"compose it of operators and functions of liftgrad.functional{instead}."
    )
