"""Formulas: what is printed means what is computed."""

import math

import pytest
from formulas import Formula, Scope
from hypothesis import given, settings
from hypothesis import strategies as st

from liftgrad import ops
from liftgrad.lift.explain.formula import Text, formula
from liftgrad.lift.ir.nests import Access, Apply, Expression, Load, Number, Reduce

NUMBERS = (1.25, -0.75, 2.5)
ROWS = ((0.5, -1.5, 2.0), (1.5, 0.25, -3.0))
EXTENTS = {"k": lambda _: range(3)}
CONDITIONS = (ops.less, ops.less_equal, ops.equal, ops.not_equal)
ARITHMETIC = [
    o
    for o in (*ops.OPERATIONS.values(), *map(ops.power_constant, (1.0, 2.0, 3.0, -1.0, 0.5, -2.0)))
    if o.arity is not None
]
LITERALS = (0.5, 2.0, 3.0, -1.0, -2.5, 0.0, -0.0, 1e-05, 1e20, math.inf, -math.inf)


@st.composite
def numbers(draw: st.DrawFn, depth: int = 4, inside: str = "") -> Expression:
    """Draw an expression for a number, within a reduction over `inside` or outside of any."""
    kinds = ["number", "read", *["apply"] * 4 * bool(depth), *["select", "detach"] * bool(depth)]
    reduce = [] if inside or not depth else ["reduce"] * 2
    match draw(st.sampled_from(kinds + reduce)):
        case "number":
            return Number(draw(st.sampled_from(LITERALS)))
        case "read":
            row = draw(st.booleans()) and inside
            return Load(Access(draw(st.integers(3, 4) if row else st.integers(0, 2)), 0, ()))
        case "apply":
            operation = draw(st.sampled_from(ARITHMETIC))
            count = operation.arity or 0
            return Apply(operation, tuple(draw(numbers(depth - 1, inside)) for _ in range(count)))
        case "select":
            a, b = draw(numbers(depth - 1, inside)), draw(numbers(depth - 1, inside))
            return Apply(ops.select, (draw(conditions(depth - 1, inside)), a, b))
        case "detach":
            return Apply(ops.detach, (draw(numbers(depth - 1, inside)),))
        case _:
            body = draw(numbers(depth - 1, "k"))
            return Reduce(draw(st.sampled_from(["sum", "max"])), (3,), body)


@st.composite
def conditions(draw: st.DrawFn, depth: int, inside: str) -> Expression:
    """Draw an expression for a condition."""
    if depth > 0 and draw(st.booleans()):
        operation = draw(st.sampled_from([ops.logical_and, ops.logical_or, ops.logical_not]))
        count = operation.arity or 0
        return Apply(operation, tuple(draw(conditions(depth - 1, inside)) for _ in range(count)))
    two = draw(numbers(max(depth - 1, 0), inside)), draw(numbers(max(depth - 1, 0), inside))
    return Apply(draw(st.sampled_from(CONDITIONS)), two)


def value(x: Expression, step: int = 0) -> float:
    """Compute an expression as it is."""
    match x:
        case Number(value=number):
            return number
        case Load(access=access):
            return NUMBERS[access.buffer] if access.buffer < 3 else ROWS[access.buffer - 3][step]
        case Apply(operation=ops.select, operands=(condition, a, b)):
            return value(a if value(condition, step) else b, step)
        case Apply(operation=operation, operands=operands):
            return operation.forward(*[value(y, step) for y in operands])
        case Reduce(kind=kind, body=body):
            reduce = ops.total if kind == "sum" else ops.largest
            return reduce.forward(*[value(body, k) for k in range(3)])


def text(x: Expression) -> str:
    """Print an expression with names a, b, c and rows u, v."""

    def load(access: Access) -> Text:
        name = "abcuv"[access.buffer]
        return Text(name if access.buffer < 3 else f"{name}[k]")

    return formula(x, load, lambda _: "k").text


def read(name: str, indices: tuple[int, ...]) -> float:
    return ROWS["uv".index(name)][indices[0]] if indices else NUMBERS["abc".index(name)]


@settings(max_examples=400)
@given(numbers())
def test_a_printed_formula_has_the_value_of_the_expression(x: Expression) -> None:
    """Read as mathematics, for random expressions."""
    printed = Formula(text(x))(Scope(read, EXTENTS), {})
    assert printed == pytest.approx(value(x), rel=1e-12, abs=0.0, nan_ok=True)


A, B, C = (Load(Access(i, 0, ())) for i in range(3))
U = Load(Access(3, 0, ()))
SUM = Reduce("sum", (3,), Apply(ops.multiply, (A, U)))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (Apply(ops.add, (Apply(ops.add, (A, B)), C)), "a + b + c"),
        (Apply(ops.add, (A, Apply(ops.add, (B, C)))), "a + (b + c)"),
        (Apply(ops.subtract, (A, Apply(ops.negate, (B,)))), "a - (-b)"),
        (Apply(ops.multiply, (Apply(ops.divide, (A, B)), C)), "(a / b)·c"),
        (Apply(ops.divide, (A, Apply(ops.multiply, (B, C)))), "a / (b·c)"),
        (Apply(ops.negate, (Apply(ops.multiply, (A, B)),)), "-(a·b)"),
        (Apply(ops.multiply, (Apply(ops.add, (A, B)),) * 2), "(a + b)²"),
        (Apply(ops.power, (Apply(ops.power, (A, B)), C)), "(a^b)^c"),
        (Apply(ops.logical_not, (Apply(ops.less, (A, B)),)), "not (a < b)"),
        (Apply(ops.power_constant(-1.0), (Number(-2.0),)), "(-2)⁻¹"),
        (Apply(ops.negate, (Apply(ops.power_constant(1.0), (A,)),)), "-a"),
        (Apply(ops.absolute, (Apply(ops.absolute, (A,)),)), "|(|a|)|"),
        (Apply(ops.multiply, (B, SUM)), "b·Σ_k a·u[k]"),
        (Apply(ops.multiply, (SUM, B)), "(Σ_k a·u[k])·b"),
        (Apply(ops.add, (SUM, B)), "Σ_k a·u[k] + b"),
        (Reduce("max", (3,), Apply(ops.add, (A, U))), "max_k(a + u[k])"),
    ],
)
def test_a_formula_has_the_parentheses_that_it_needs(expression: Expression, expected: str) -> None:
    """And those that the eye wants."""
    assert text(expression) == expected
