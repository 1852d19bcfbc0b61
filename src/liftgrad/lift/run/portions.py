"""Portions: a native program run over a large batch, a portion of the samples at a time.

Numbers that live within one stage need memory for one portion only, which stays in the cache.
The samples are cut into a fixed number of segments, each with sums of its own, which are added up
in order: the result does not depend on how many threads share the segments.
"""

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.ir.nests import TimeLoop, stores
from liftgrad.lift.native.alignment import zeros
from liftgrad.lift.native.memory import Instance, NativeProgram
from liftgrad.lift.scheduling.stages import Stage, local_buffers, runs_over_samples, stages
from liftgrad.lift.threads import MOST_THREADS, get_num_threads, pool

Array = NDArray[Any]
_LARGE = 2048
"""The smallest batch that is worth cutting: each segment has sums over all parameters to add."""
_LEAST_IN_TIME = 16
"""The smallest portion where each sample takes many steps, of which each is a line of memory."""
_CACHE = 192 * 1024
"""Bytes of temporary numbers that a portion may take: part of a second-level cache."""


class Portions:
    """Some nests of a program, staged, with memory for each thread.

    Args:
        native: the program.
        plan: the nests to run, in stages.
        shared: an instance, whose memory is used for all that is not local to a stage.
        portion: how many samples run at a time.
        local: the buffers that are.

    """

    def __init__(
        self,
        native: NativeProgram,
        plan: list[Stage],
        shared: Instance,
        portion: int,
        local: set[int],
    ) -> None:
        self.native, self.plan, self.shared = native, plan, shared
        self.portion, self.local = portion, local
        self.workers: list[_Worker] = []
        program = native.program
        self.sums = [
            sorted(
                {
                    access.buffer
                    for n in stage.sampled
                    for access in stores(program.nests[n])
                    if not program.buffers[access.buffer].batched
                }
            )
            for stage in plan
        ]
        self.plain = [shared.plan(stage.plain) for stage in plan]

    def run(self) -> None:
        """Run all stages."""
        for i, stage in enumerate(self.plan):
            if stage.plain:
                self.plain[i].run()
            if stage.sampled:
                self._run_sampled(i)

    def _run_sampled(self, stage: int) -> None:
        samples = self.shared.samples
        partial = {
            b: np.zeros((MOST_THREADS, *self.shared.buffers[b].shape), self.shared.buffers[b].dtype)
            for b in self.sums[stage]
        }
        size = -(-samples // MOST_THREADS)
        size += -size % self.portion
        segments = [
            (j, j * size, min((j + 1) * size, samples))
            for j in range(MOST_THREADS)
            if j * size < samples
        ]
        count = min(get_num_threads(), len(segments))
        while len(self.workers) < count:
            self.workers.append(_Worker(self))

        def work(k: int) -> None:
            for j, first, last in segments[k::count]:
                targets = {b: array[j] for b, array in partial.items()}
                self.workers[k].run(stage, first, last, targets)

        if count == 1:
            work(0)
        else:
            others = [pool().submit(work, k) for k in range(1, count)]
            work(0)
            for other in others:
                other.result()
        for buffer, array in partial.items():
            for of_segment in array[: len(segments)]:
                with np.errstate(all="ignore"):
                    self.shared.buffers[buffer] += of_segment


class _Worker:
    """One thread's memory and arguments."""

    def __init__(self, owner: Portions) -> None:
        self.owner = owner
        native, shared = owner.native, owner.shared
        program = native.program
        self.buffers: dict[int, Array] = {
            b: zeros((program.buffers[b].size, owner.portion), native.dtype) for b in owner.local
        }
        self.stages = [self._stage(stage) for stage in owner.plan]
        self.item = np.dtype(native.dtype).itemsize
        self.shared = shared

    def _stage(self, stage: Stage) -> Any:
        native, shared, owner = self.owner.native, self.owner.shared, self.owner
        program = native.program
        pairs, kept, moving, counts, targets = [], [], [], [], []
        for i in stage.sampled:
            kernel = native.kernels[i]
            written = {access.buffer for access in stores(program.nests[i])}
            arrays = [
                self.buffers[a.buffer] if a.buffer in owner.local else shared.buffers[a.buffer]
                for a in kernel.accesses
            ]
            words = shared.arguments_with(i, arrays, owner.portion)
            kept.append(words)
            base = words.ctypes.data
            pairs += [native.addresses[i], base]
            counts.append(base + 8 * len(kernel.accesses))
            for j, access in enumerate(kernel.accesses):
                buffer = program.buffers[access.buffer]
                if buffer.batched and access.buffer not in owner.local:
                    moving += [base + 8 * j, int(words[j]), arrays[j].itemsize]
                if access.buffer in written and not buffer.batched:
                    offset = int(words[j]) - arrays[j].ctypes.data
                    targets.append((words, j, access.buffer, offset))
        return (
            np.array(pairs, np.uint64),
            np.array(moving, np.uint64),
            np.array(counts, np.uint64),
            targets,
            kept,
        )

    def run(self, stage: int, first: int, last: int, targets: Mapping[int, Array]) -> None:
        """Run a stage on the samples first, ..., last - 1, adding to these sums."""
        pairs, moving, counts, words_of_targets, _ = self.stages[stage]
        for words, j, buffer, offset in words_of_targets:
            words[j] = targets[buffer].ctypes.data + offset
        pointer = ctypes.c_void_p
        self.owner.native.code.portions(
            *(pointer(pairs.ctypes.data), len(pairs) // 2),
            *(pointer(moving.ctypes.data), len(moving) // 3),
            *(pointer(counts.ctypes.data), len(counts)),
            *(first, last, self.owner.portion),
        )


def portion_of(native: NativeProgram, local: set[int]) -> int:
    """Return how many samples make a portion."""
    each = sum(native.program.buffers[b].size for b in local) * np.dtype(native.dtype).itemsize
    fitting = _CACHE // max(each, 1)
    least = _LEAST_IN_TIME if _in_time(native) else 64
    return int(min(2048, max(least, fitting - fitting % least)))


def _in_time(native: NativeProgram) -> bool:
    """Return whether samples go through loops over time."""
    return any(isinstance(x, TimeLoop) and runs_over_samples(x) for x in native.program.nests)


def staged(native: NativeProgram, samples: int) -> tuple[list[Stage], set[int], int] | None:
    """Return (stages, local buffers, portion) if a batch is large enough to be cut."""
    if not any(buffer.batched for buffer in native.program.buffers):
        return None
    plan = stages(native.program, range(len(native.program.nests)))
    local = local_buffers(native.program, plan) & native.used
    portion = portion_of(native, local)
    large = 8 * _LEAST_IN_TIME if _in_time(native) else _LARGE
    return (plan, local, portion) if samples >= max(2 * portion, large) else None
