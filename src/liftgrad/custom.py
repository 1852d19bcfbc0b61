"""Operations that a program defines for itself, with the derivative that it gives."""

import importlib
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from pickle import PicklingError
from typing import Any, overload

from liftgrad.composition import INSTRUCTIONS, OnFloats, as_tuple, not_composed
from liftgrad.entries import OPERATIONS, Adjoints, Operation, is_name, template_complaints
from liftgrad.errors import TraceError
from liftgrad.numbers import kind_of
from liftgrad.operators import Symbolic


@overload
def operation(
    forward: Callable[..., Any],
    derivative: Callable[..., Any],
    *,
    name: str | None = None,
    llvm: str | Sequence[str] = (),
) -> Operation: ...
@overload
def operation(
    *, derivative: Callable[..., Any], name: str | None = None, llvm: str | Sequence[str] = ()
) -> Callable[[Callable[..., Any]], Operation]: ...
def operation(
    forward: Callable[..., Any] | None = None,
    derivative: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    llvm: str | Sequence[str] = (),
) -> Any:
    """Return a function of numbers that has the derivative given here.

    It takes floats, Values and traced values, as those of `liftgrad.functional` do, and works
    wherever they do: eagerly, in `grad` and its like, in `recording()`, in lifted functions, in
    which it prints by its name.

    >>> from liftgrad import Value, operation
    >>> @operation(derivative=lambda y, x: 1 / (1 + abs(x)) ** 2)
    ... def softsign(x):
    ...     return x / (1 + abs(x))
    >>> softsign(1.0)
    0.5
    >>> x = Value(1.0)
    >>> softsign(x).backward()
    >>> x.grad
    0.25

    With several operands there is one derivative by each:

    >>> from liftgrad.functional import sqrt
    >>> hypotenuse = operation(
    ...     lambda a, b: sqrt(a * a + b * b),
    ...     derivative=lambda y, a, b: (a / y, b / y),
    ...     name="hypotenuse",
    ... )
    >>> hypotenuse(Value(3.0), 4.0).data
    5.0

    Both functions depend on their operands only. In lifted functions the derivative has to be
    composed of operators and functions of `liftgrad.functional`, with `where` for a branch, and so
    has `forward`, unless `llvm` is given; eagerly they may be anything that Python can compute on
    floats. For second derivatives, `derivative` is differentiated in its turn.

    Args:
        forward: the function of one or several numbers; parameters with defaults are not
            operands. Without it, `operation` is a decorator.
        derivative: a function `(y, *operands)` of the result and the operands, to the derivative
            by the operand, or to a tuple of those by each.
        name: by which it prints; by default that of `forward`.
        llvm: LLVM instructions that compute it, one by one; `liftgrad.entries` says what
            stands in their braces: `"call {T} @llvm.floor.{t}({T} {0})"`.

    Raises:
        TypeError: if one of them is not a function, or they do not fit each other.
        ValueError: if the name cannot be used or is taken, or a template is wrong.

    """
    if not callable(derivative):
        raise TypeError(
            f"operation() needs a function as its derivative, and this is {kind_of(derivative)}; "
            "pass derivative=lambda y, x: ..., of the result y and the operand x."
        )
    if forward is None:
        return lambda function: _made(function, derivative, name, llvm)
    return _made(forward, derivative, name, llvm)


def _made(
    forward: Callable[..., Any],
    derivative: Callable[..., Any],
    name: str | None,
    llvm: str | Sequence[str],
) -> Operation:
    if not callable(forward):
        raise TypeError(
            f"operation() needs a function of numbers, and this is {kind_of(forward)}; pass one, "
            "such as lambda x: x / (1 + abs(x))."
        )
    name = _checked_name(getattr(forward, "__name__", "") if name is None else name)
    operands = _operands(forward, name)
    arity = len(operands)
    pullback = _Pullback(derivative, name, arity)
    pullback.check(", ".join(["result" if "y" in operands else "y", *operands]))
    if not isinstance(llvm, str | list | tuple):
        raise TypeError(
            f"llvm= takes one instruction or a list of them, and this is {kind_of(llvm)}; pass one."
        )
    made = Operation(
        name,
        OnFloats(forward, f"the operation {name!r}", arity, instead=INSTRUCTIONS),
        pullback,
        f"{name}({', '.join(f'{{{i}}}' for i in range(arity))})",
        name,
        arity=arity,
        llvm=(llvm,) if isinstance(llvm, str) else tuple(llvm),
        pickled=partial(_pickled, forward),
        doc=(inspect.isfunction(forward) and inspect.getdoc(forward)) or "",
    )
    for complaint in template_complaints(made):
        raise ValueError(f"the operation {name!r} {complaint}.")
    return made


def _checked_name(name: str) -> str:
    if name in ("", "<lambda>"):
        raise ValueError(
            "an operation prints by its name, and this function has none; pass name='f', say."
        )
    if not isinstance(name, str) or not is_name(name):
        raise ValueError(
            f"{name!r} cannot be the name of a function, by which an operation prints; pass name= "
            "a word of letters, digits and underscores."
        )
    if name in OPERATIONS:
        raise ValueError(
            f"liftgrad has an operation {name!r} already; pass another name for yours."
        )
    return name


def _operands(forward: Callable[..., Any], name: str) -> list[str]:
    """Return the names of a function's operands: positional parameters without a default."""
    if isinstance(forward, Operation) and forward.arity is not None:
        return [f"x{i}" for i in range(forward.arity)]
    try:
        parameters = inspect.signature(forward).parameters.values()
    except ValueError:  # of some of the functions that are written in C
        parameters = {}.values()
    kinds = {p.name: p.kind for p in parameters if p.default is p.empty}
    of_any_number = inspect.Parameter.VAR_POSITIONAL in kinds.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    operands = [name for name, kind in kinds.items() if kind in positional]
    if of_any_number or not operands:
        raise TypeError(
            f"the function of the operation {name!r} does not say how many numbers it takes; pass "
            "one that names each, such as lambda a, b: ..."
        )
    return operands


class _Pullback:
    """The adjoints of operands, from derivatives by them."""

    __slots__ = ("on_floats",)

    def __init__(self, derivative: Callable[..., Any], name: str, arity: int) -> None:
        self.on_floats = OnFloats(
            derivative, f"the derivative of the operation {name!r}", 1 + arity, arity
        )

    def __call__(self, g: Any, y: Any, *operands: Any) -> Adjoints:
        """Return the adjoint of each operand."""
        if y.__class__ is float:
            return tuple([g * x for x in as_tuple(self.on_floats(y, *operands))])
        derivative, name = self.on_floats.function, self.on_floats.name
        try:
            derivatives = as_tuple(derivative(y, *operands))
        except Exception as error:
            if isinstance(y, Symbolic):
                raise not_composed(derivative, name, error) from error
            raise
        self.on_floats.check(derivatives)
        return tuple([g * x for x in derivatives])

    def check(self, parameters: str) -> None:
        """Raise TypeError unless the derivative takes the result and the operands and gives enough.

        `parameters` are an example of its parameters.
        """
        on_floats = self.on_floats
        try:
            inspect.signature(on_floats.function).bind(*range(on_floats.arity))
        except TypeError:
            raise TypeError(
                f"{on_floats.name} takes the result and each operand; write it as "
                f"lambda {parameters}: ..."
            ) from None
        except ValueError:  # of some of the functions that are written in C
            return
        try:
            composition = on_floats.composition()
        except TraceError:
            return  # it runs on floats only, and is checked when it first does
        on_floats.check(composition.results)


def _pickled(forward: Callable[..., Any], made: Operation) -> tuple[Any, ...]:
    """Return what pickle finds an operation by: its module and its name there, as of functions."""
    name = getattr(forward, "__qualname__", "<lambda>")
    name = made.name if name.endswith("<lambda>") else name
    try:
        found = _found(forward.__module__, name)
    except (AttributeError, ImportError):
        found = None
    if found is not made:
        raise PicklingError(
            f"the operation {made.name!r} would be found again as {forward.__module__}.{name}, "
            "which is something else; assign it to that name, outside of functions."
        )
    return _found, (forward.__module__, name)


def _found(module: str, name: str) -> Any:
    return attrgetter(name)(importlib.import_module(module))
