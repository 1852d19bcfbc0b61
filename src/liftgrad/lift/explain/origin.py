"""Origin: the scalar operations that a line stands for, as "from 1,600 × (2 products, sum)"."""

import math
from collections import Counter
from typing import assert_never

from liftgrad import ops
from liftgrad.lift.explain.lines import Line
from liftgrad.lift.ir.nests import Apply, Expression, Load, Number, Reduce

_NOUNS = frozenset(
    o.noun for o in (*ops.OPERATIONS.values(), *ops.CONDITIONS, ops.select) if o.noun
)
"""Words for operations that have a plural; the others go by their names."""


def origin(line: Line) -> str:
    """Return how many scalar operations a line was rolled from, or "" if none."""
    counts = []
    for nest in line.nests:
        body = nest.body
        if line.body is not line.nests[0].body and isinstance(body, Apply):
            body = body.operands[1]  # the comparison with the initial value is the compiler's own
        counts.append(_count(body, 1))
    longest = max(counts, key=lambda found: sum(found.values()))
    terms = []
    for name, most in longest.items():
        least = min(found[name] for found in counts) or most
        times = f"{most:,}" if least == most else f"{least:,} to {most:,}"
        terms.append(name if most == 1 else f"{times} {_plural(name)}")
    rows = sum(line.rows)
    times = "samples × " * line.batched + f"{rows:,} × " * (rows > 1)
    said = ", ".join(terms)
    if len(terms) > 1 and times:
        said = f"({said})"
    return f"from {times}{said}" if terms else ""


def _count(x: Expression, times: int) -> Counter[str]:
    """Return how often an expression applies each operation if it is evaluated `times` times."""
    found: Counter[str] = Counter()
    match x:
        case Apply(operation=operation, operands=operands):
            for operand in operands:
                found += _count(operand, times)
            sums = any(isinstance(y, Reduce) and y.kind == "sum" for y in operands)
            # A sum's first term may be added outside of the loop over the others.
            if operation.notation != "{0}" and not (operation is ops.add and sums):
                found[operation.noun or operation.name] += times
        case Reduce(kind=kind, extents=extents, body=body, samples=samples):
            length = math.prod(extents)
            within = _count(body, times * length)
            if samples:
                within = Counter(f"samples × {_counted(n, name)}" for name, n in within.items())
            found += within
            if length > 1 or samples:
                found["sum" if kind == "sum" else "maximum"] += times
        case Load() | Number():
            pass
        case _:
            assert_never(x)
    return found


def _counted(times: int, name: str) -> str:
    return name if times == 1 else f"{times:,} {_plural(name)}"


def _plural(name: str) -> str:
    return f"{name}s" if name in _NOUNS or name == "sum" else name
