"""Stages: which nests may run portion by portion of a batch's samples, one after another.

A stage is some nests without samples, then some over samples. Within a stage samples never meet,
except in sums that are read in later stages only; so the nests over samples can run on a portion of
them that fits the processor's cache, and on several portions at once.

Invariant: each nest is in one stage, and no nest comes before one that it has to wait for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from liftgrad.lift.ir.nests import Apply, Expression, Load, Nest, Number, Program, Reduce, loads


@dataclass(slots=True)
class Stage:
    """Numbers of nests, in order."""

    plain: list[int]
    sampled: list[int]


def stages(program: Program, nests: Sequence[int]) -> list[Stage]:
    """Distribute these nests over stages."""
    writers: dict[int, list[tuple[int, bool]]] = {}
    readers: dict[int, list[tuple[int, bool]]] = {}
    result: list[Stage] = []
    for i in nests:
        nest = program.nests[i]
        sampled = runs_over_samples(nest)
        stage = 0
        out = nest.out.buffer
        sources = {access.buffer for access in loads(nest.body)}
        sources |= {nest.out.index.buffer} if nest.out.index is not None else set()
        for buffer in sources:
            for earlier, was_sampled in writers.get(buffer, ()):
                apart = was_sampled and not (sampled and program.buffers[buffer].batched)
                stage = max(stage, earlier + apart)
        for earlier, was_sampled in [*writers.get(out, ()), *readers.get(out, ())]:
            # Portions of one sum, or of one batched buffer, may interleave; all else waits.
            together = sampled and (nest.accumulate or program.buffers[out].batched)
            stage = max(stage, earlier + (was_sampled and not together))
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
        for nest_number in [*stage.plain, *stage.sampled]:
            nest = program.nests[nest_number]
            for access in [*loads(nest.body), nest.out]:
                seen.setdefault(access.buffer, set()).add(i)
    return {
        buffer
        for buffer, where in seen.items()
        if len(where) == 1
        and program.buffers[buffer].batched
        and program.buffers[buffer].role == "temporary"
        and buffer not in program.outputs
    }


def runs_over_samples(nest: Nest) -> bool:
    """Return whether a nest has a loop over samples."""
    return nest.batched or _sums_samples(nest.body)


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
