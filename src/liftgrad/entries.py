"""Entries of the table of operations: what each of them says, and what an operation can do.

An entry is an `Operation`. Engine, tracer, compiler, printer and tests read its fields and nothing
else, so that an operation is added by writing its entry in `ops`. `enter` says what one lacks.
"""

import keyword
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pickle import PicklingError
from typing import Any, overload

from liftgrad.numbers import to_float
from liftgrad.protocols import ScalarT

Interval = tuple[float, float]
Adjoints = tuple[Any, ...]

OPERATIONS: dict[str, "Operation"] = {}
"""The table: the operations on numbers, by name."""

PLACEHOLDER = re.compile(r"@?\{([^{}]*)\}")
"""What an LLVM template leaves open."""
TYPES = frozenset({"T", "I", "t", "mask", "true"})
"""The words among an LLVM template's placeholders."""


class _Documentation:
    """The docstring of a class, and another one for each instance."""

    def __init__(self, of_class: str | None) -> None:
        self.of_class = of_class

    def __get__(self, operation: "Operation | None", _kind: Any) -> str | None:
        return self.of_class if operation is None else _described(operation)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Operation:
    """One operation on numbers; call it on floats, Values or traced values."""

    __doc__ = _Documentation(__doc__)

    name: str
    """The name of its function and method, NumPy's where NumPy has one."""
    forward: Callable[..., float]
    """The result of operands that are floats."""
    pullback: Callable[..., Adjoints] | None
    """`(g, y, *operands)` to the operands' adjoints; None where the result is a condition."""
    notation: str
    """How the operation prints, with {0}, {1} for its operands, {*} for any number of them."""
    symbol: str
    """micrograd's `_op`, as graph drawings show it."""
    arity: int | None = 1
    """How many operands; None: any number."""
    precedence: int = 9
    """How tightly the notation binds, as in Python: 1 comparison, 3 sum, 4 product, ..., 9 call."""

    llvm: tuple[str, ...] = ()
    """Instructions, of which the last gives the result; see below for what stands in braces.
    Empty: `forward` is composed of other operations, whose instructions are taken."""
    numpy: str | Callable[..., Any] = ""
    """The NumPy function that computes it on arrays: its name, or a function (np, *arrays).
    Empty: the operations of which `forward` is composed, else `forward`, element by element."""

    noun: str = ""
    """What listings count: "3 additions". Empty: the name."""
    activation: bool = False
    """Whether listings name its results h, as a hidden layer's."""
    finite_derivatives: bool = False
    """Whether its derivatives are finite wherever its operands are."""
    linear: bool = False
    """Whether its pullback takes a zero adjoint to zeros, whatever the operands."""
    constant: bool = False
    """Whether the result counts as a constant, so that no gradient flows to the operands: not even
    a zero, which an infinite derivative further down would turn into nan."""
    parameter: float | None = None
    """A static number that is part of the operation: the exponent in x**2."""
    pickled: Callable[["Operation"], tuple[Any, ...]] | None = None
    """What `__reduce__` returns of an operation that is not in the table."""
    doc: str = ""
    """Its docstring; by default the notation, and an example for an operation of the table."""

    exact: str | Callable[..., Any] | None = None
    """For the tests: mpmath's function of that name, or a function (mpmath, *operands)."""
    domain: tuple[Interval, ...] = ((-3.0, 3.0),)
    """For the tests: an interval of smooth operands for each operand."""
    kinks: tuple[tuple[float, ...], ...] = ()
    """For the tests: operands at which the derivative is a convention."""

    # In an LLVM template, {0} and {1} are the operands, {-1} and {-2} the results of the last
    # instruction and the one before, and {0.5} is a number, which has a point. {T} is the type of
    # the numbers, scalars or vectors, {t} the ending that intrinsics on them have, {I} the type of
    # integers as wide, {mask} that of conditions and {true} one of them that holds. @{exp} is a
    # function of the compiler's vector mathematics.

    @overload
    def __call__(self, *operands: float) -> float: ...
    @overload
    def __call__(self, *operands: ScalarT) -> ScalarT: ...
    @overload
    def __call__(self, *operands: Any) -> Any: ...
    def __call__(self, *operands: Any) -> Any:
        """Apply to floats, giving a float, or to Values or traced values, giving one of them."""
        count = self.arity
        if len(operands) != count and count is not None:
            takes = "one number" if count == 1 else f"{count} numbers"
            raise TypeError(f"{self.name}() takes {takes} and got {len(operands)}; pass {takes}.")
        for operand in operands:
            if hasattr(operand, "_apply"):
                return operand._apply(self, *operands)
        return self.forward(*map(to_float, operands))

    def __repr__(self) -> str:
        setting = "" if self.parameter is None else f", {self.parameter}"
        return f"<operation {self.name}{setting}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by name: there is one object for each operation, in every process."""
        if OPERATIONS.get(self.name) is self:
            return lookup, (self.name,)
        if self.pickled is None:
            raise PicklingError(
                f"the operation {self.name!r} is not in liftgrad.ops.OPERATIONS, by which it "
                "would be found again; add it there before pickling."
            )
        return self.pickled(self)

    def __copy__(self) -> "Operation":
        return self

    def __deepcopy__(self, _memo: Any) -> "Operation":
        return self


def lookup(name: str) -> Operation:
    """Return the operation of that name, as stored in a pickle."""
    return OPERATIONS[name]


def example(operation: Operation) -> tuple[tuple[float, ...], float]:
    """Return operands and a result of four digits, for a line that shows what an operation does."""
    operands = (0.5, 2.0)[: operation.arity]
    return operands, round(operation.forward(*operands), 4)


def _described(operation: Operation) -> str:
    if operation.doc:
        return operation.doc
    if not operation.arity:
        return f"Return the {operation.name} of any number of floats, Values or traced values."
    names = ("x", "y", "z")[: operation.arity]
    text = f"Return {operation.notation.format(*names)} of floats, Values or traced values."
    if operation.name not in OPERATIONS:
        return text
    operands, result = example(operation)
    call = f"{operation.name}({', '.join(map(str, operands))})"
    return f"{text}\n\n>>> round({call}, 4)\n{result}\n"


# --- what an entry has to say ----------------------------------------------------------------


def enter(*operations: Operation) -> None:
    """Add operations to the table.

    Raises:
        ValueError: if an entry lacks something, or contradicts itself.

    """
    for operation in operations:
        if OPERATIONS.get(operation.name, operation) is not operation:
            raise ValueError(f"the operation {operation.name!r} is in the table twice; rename one.")
        for complaint in _complaints(operation):
            raise ValueError(f"the entry of the operation {operation.name!r} {complaint}.")
        OPERATIONS[operation.name] = operation


def _complaints(operation: Operation) -> Iterator[str]:
    """Yield what an entry lacks, for "the entry of the operation 'exp' ..."."""
    if not is_name(operation.name):
        yield "has a name that is not an identifier; name it as its function is called"
    if operation.pullback is None:
        yield "lacks a pullback; give (g, y, *operands) to the operands' adjoints"
    if operation.exact is None:
        yield "lacks `exact`, with which the tests compare it; give a function of mpmath's"
    yield from _complaints_about_operands(operation)
    yield from template_complaints(operation)


def _complaints_about_operands(operation: Operation) -> Iterator[str]:
    arity = operation.arity
    shown = {"*"} if arity is None else {str(i) for i in range(arity)}
    found = {x[1] for x in PLACEHOLDER.finditer(operation.notation)}
    if found != shown:
        wanted = " and ".join(f"{{{x}}}" for x in sorted(shown))
        yield f"has the notation {operation.notation!r}; show each operand once, as {wanted}"
    if len(operation.domain) != (arity or 1):
        yield f"has {len(operation.domain)} intervals in `domain`; give one for each operand"
        return
    if arity is None:
        return
    if any(len(kink) != arity for kink in operation.kinks):
        yield "has kinks of other lengths than its operands; give a number for each operand"
    operands = [(low + high) / 2 for low, high in operation.domain]
    where = f"at {', '.join(map(str, operands))}, in the middle of its domain"
    try:
        result = operation.forward(*operands)
        adjoints: Any = operation.pullback(1.0, result, *operands) if operation.pullback else ()
    except ArithmeticError as error:
        yield f"raises {error!r} {where}; return what IEEE 754 says"
        return
    if type(result) is not float or not math.isfinite(result):
        yield f"has a forward that gives {result!r} {where}; return a finite float"
    if type(adjoints) is not tuple or len(adjoints) != arity:
        yield "has a pullback that does not give a tuple of one adjoint for each operand"


def template_complaints(operation: Operation) -> Iterator[str]:
    """Yield what is wrong with an operation's LLVM template."""
    for done, line in enumerate(operation.llvm):
        for found in PLACEHOLDER.finditer(line):
            word = found[1]
            if found[0].startswith("@"):
                known = is_name(word)
            elif word.removeprefix("-").isdecimal():
                known = -done <= int(word) < (operation.arity or 0)
            else:
                known = word in TYPES or _is_number(word)
            if not known:
                yield (
                    f"has {found[0]} in its LLVM template, which is not an operand, an earlier "
                    f"result, a number with a point or one of {', '.join(sorted(TYPES))}"
                )


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a function."""
    return text.isidentifier() and not keyword.iskeyword(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
