"""Stages: which statements may run portion by portion of a batch's samples, one after another.

A stage is some statements without samples, then some over samples. Within a stage samples never
meet, except in sums that are read in later stages only; so those over samples can run on a portion
of them that fits the processor's cache, and on several portions at once.

Invariant: each statement is in one stage, and none comes before one that it has to wait for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from liftgrad.lift.ir.nests import (
    Apply,
    Expression,
    Load,
    Number,
    Program,
    Reduce,
    Statement,
    nests_of,
    reads,
    stores,
)


@dataclass(slots=True)
class Stage:
    """Numbers of statements, in order."""

    plain: list[int]
    sampled: list[int]


def stages(program: Program, statements: Sequence[int]) -> list[Stage]:
    """Distribute these statements over stages."""
    writers: dict[int, list[tuple[int, bool]]] = {}
    readers: dict[int, list[tuple[int, bool]]] = {}
    result: list[Stage] = []
    for i in statements:
        statement = program.nests[i]
        sampled = runs_over_samples(statement)
        stage = 0
        sources = {access.buffer for access in reads(statement)}
        targets = {access.buffer for access in stores(statement)}
        accumulates = all(nest.accumulate for nest in nests_of(statement))
        for buffer in sources:
            for earlier, was_sampled in writers.get(buffer, ()):
                apart = was_sampled and not (sampled and program.buffers[buffer].batched)
                stage = max(stage, earlier + apart)
        for out in targets:
            # Portions of one sum, or of one batched buffer, may interleave; all else waits.
            together = sampled and (accumulates or program.buffers[out].batched)
            for earlier, was_sampled in [*writers.get(out, ()), *readers.get(out, ())]:
                stage = max(stage, earlier + (was_sampled and not together))
        for out in targets:
            writers.setdefault(out, []).append((stage, sampled))
        for buffer in sources:
            readers.setdefault(buffer, []).append((stage, sampled))
        while len(result) <= stage:
            result.append(Stage([], []))
        (result[stage].sampled if sampled else result[stage].plain).append(i)
    return result


def local_buffers(program: Program, plan: list[Stage]) -> set[int]:
    """Return the batched buffers that one stage alone uses, except outputs."""
    seen: dict[int, set[int]] = {}
    for i, stage in enumerate(plan):
        for number in [*stage.plain, *stage.sampled]:
            statement = program.nests[number]
            for access in [*reads(statement), *stores(statement)]:
                seen.setdefault(access.buffer, set()).add(i)
    return {
        buffer
        for buffer, where in seen.items()
        if len(where) == 1
        and program.buffers[buffer].batched
        and program.buffers[buffer].role == "temporary"
        and buffer not in program.outputs
    }


def runs_over_samples(statement: Statement) -> bool:
    """Return whether a statement has a loop over samples."""
    return any(nest.batched or _sums_samples(nest.body) for nest in nests_of(statement))


def _sums_samples(expression: Expression) -> bool:
    match expression:
        case Reduce(samples=samples, body=body):
            return samples or _sums_samples(body)
        case Apply(operands=operands):
            return any(_sums_samples(x) for x in operands)
        case Load() | Number():
            return False
        case _:
            assert_never(expression)
