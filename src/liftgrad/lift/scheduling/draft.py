"""Draft: an expression before it is fitted, whose loads are sequences of positions, not strides."""

from dataclasses import dataclass, replace
from typing import Literal, assert_never

from liftgrad import ops
from liftgrad.lift.ir.groups import Indices
from liftgrad.lift.ir.nests import Number


@dataclass(slots=True, eq=False)
class Loads:
    """A load before it is fitted: positions for each row, or for each row and reduced element."""

    group: int
    positions: Indices
    """Of shape (rows,) or (rows, reduced)."""
    index: "Loads | None" = None
    table: Indices | None = None
    """With an index: the positions for each of its values, of shape (rows[, reduced], values)."""


@dataclass(slots=True, eq=False)
class Reduced:
    """A reduction of `length` elements for each row."""

    kind: Literal["sum", "max"]
    length: int
    body: "Draft"
    samples: bool
    """Also over the samples of the batch."""


@dataclass(slots=True, eq=False)
class Applied:
    """An operation on drafts."""

    operation: ops.Operation
    operands: tuple["Draft", ...]


Draft = Loads | Reduced | Applied | Number


def added(terms: list[Draft]) -> Draft:
    """Return the sum of some drafts."""
    # Plain terms first: they start the sum, as a bias does.
    terms = sorted(terms, key=lambda term: isinstance(term, Reduced))
    result = terms[0]
    for term in terms[1:]:
        result = Applied(ops.add, (result, term))
    return result


def rows_of(draft: Draft, chosen: Indices) -> Draft:
    """Return the draft for some of its rows only."""
    match draft:
        case Number():
            return draft
        case Loads(index=index, table=table):
            return Loads(
                draft.group,
                draft.positions[chosen],
                index and rows_of(index, chosen),  # type: ignore[arg-type]
                None if table is None else table[chosen],
            )
        case Applied(operation=operation, operands=operands):
            return Applied(operation, tuple(rows_of(x, chosen) for x in operands))
        case Reduced(body=body):
            return replace(draft, body=rows_of(body, chosen))
        case _:
            assert_never(draft)


def all_loads(draft: Draft) -> list[Loads]:
    """Return the loads in a draft, with those of indices."""
    found: list[Loads] = []
    waiting = [draft]
    while waiting:
        one = waiting.pop()
        match one:
            case Loads(index=index):
                found.append(one)
                if index is not None:
                    found.append(index)
            case Applied(operands=operands):
                waiting += operands[::-1]
            case Reduced(body=body):
                waiting.append(body)
            case Number():
                pass
            case _:
                assert_never(one)
    return found
