"""Loops over time: one kernel for all steps, with the states in registers.

A loop is cut into segments in which the same nests run in each step. Within a step nests are
written one after another, each at the time that the loop has reached; what one stores and another
loads stays in registers, and so does what the next step loads. In a batch each vector of samples
goes through all of time before the next one does.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, TypeVar

from liftgrad.lift.ir.loop_error import LoopError
from liftgrad.lift.ir.nests import Access, Buffer, Program, TimeLoop, nests_of, reads, stores
from liftgrad.lift.kernels import carrying
from liftgrad.lift.kernels.accesses import Accesses
from liftgrad.lift.kernels.arguments import Arguments
from liftgrad.lift.kernels.block import Block
from liftgrad.lift.kernels.carrying import Carrying, Step
from liftgrad.lift.kernels.emitter import NestEmitter
from liftgrad.lift.kernels.heads import merged
from liftgrad.lift.kernels.loops import Loops
from liftgrad.lift.kernels.registers import Place, Registers
from liftgrad.lift.kernels.segments import Segment, StepNest, joined, segments, step_nests
from liftgrad.lift.kernels.tiling import SAMPLES, TIME, Dimension, Point, Strides
from liftgrad.lift.kernels.writer import VectorWriter, Writer

W = TypeVar("W", bound=Writer)
_SAMPLES: Dimension = ("sample", 0)
_LANES: Dimension = ("row", 0)
_SMALL = 200
"""Instructions, roughly, up to which steps run for two vectors of samples at once."""
_LARGEST = 1000
"""Instructions, roughly, from which on steps that differ share their text."""


def kept_after(loop: TimeLoop, program: Program) -> set[int]:
    """Return the buffers of which somebody reads what a loop of a program writes there."""
    others = (x for x in program.nests if x is not loop)
    read = {access.buffer for statement in others for access in reads(statement)}
    lasting = {i for i, buffer in enumerate(program.buffers) if buffer.role != "temporary"}
    return read | lasting | program.outputs


def emit_loop(
    loop: TimeLoop,
    buffers: Sequence[Buffer],
    kept: Collection[int],
    writers: Callable[[], tuple[W, VectorWriter | None]],
) -> tuple[W, Arguments]:
    """Write a loop; return what wrote it and the kernel's arguments.

    Args:
        loop: the loop.
        buffers: the program's.
        kept: the buffers that are read after it.
        writers: makes a writer of single numbers and loops, and one of vectors if there is one.

    Raises:
        LoopError: if samples meet in the loop, or only some of its nests run over samples.

    """
    batched = {nest.batched for nest in nests_of(loop)}
    if len(batched) > 1:
        raise LoopError("a loop over time has nests with and without samples.")
    _, vectors = writers()
    width, registers = (None, 0) if vectors is None else (vectors.width, vectors.registers)
    nests = step_nests(loop, buffers, width, registers)
    written = {access.buffer for access in stores(loop)}

    def scratch() -> _Writer:
        return _Writer(loop, buffers, *writers())

    parts = _parts(segments(loop, nests), written, scratch)
    if sum(nest.cost for part in parts for nest in part.segment.nests) > _LARGEST:
        parts = _parts([joined(loop, nests)], written, scratch)
    from_memory = {buffer for part in parts for buffer in part.step.from_memory}

    write, vectors = writers()
    writer = _Writer(loop, buffers, write, vectors, frozenset(written - from_memory - set(kept)))
    writer.run(parts, batched=batched == {True})
    return write, writer.arguments


class _Part(NamedTuple):
    """A segment, and what its steps do with memory."""

    segment: Segment
    step: Step


def _parts(
    cut: Sequence[Segment], written: Collection[int], scratch: Callable[[], "_Writer"]
) -> list[_Part]:
    """Return segments with what they keep in registers, some of them merged.

    It is found by writing each step once for nobody.
    """
    parts: list[_Part] = []
    known: Collection[Place] = ()
    while cut:
        writer = scratch()
        segment, following = cut[0], cut[1:]
        step = None
        if following:
            both = merged(segment, following[0], written, writer.alone)
            step = both and writer.plan(both, known)
            if both and step:
                segment, following = both, following[1:]
        step = step or writer.plan(segment, known)
        assert step is not None
        parts.append(_Part(segment, step))
        cut, known = following, step.known
    return parts


class _Writer:
    """Writes segments of a loop.

    Args:
        loop: the loop.
        buffers: the program's.
        write: what writes single numbers, and loops.
        vectors: what writes vectors; None: the language has none.
        unused: buffers that nobody reads in memory.

    """

    def __init__(
        self,
        loop: TimeLoop,
        buffers: Sequence[Buffer],
        write: Writer,
        vectors: VectorWriter | None,
        unused: frozenset[int] = frozenset(),
    ) -> None:
        self.buffers, self.unused, self.steps = buffers, unused, loop.steps
        self.ahead = -1 if loop.backwards else 1
        self.write, self.vectors = write, vectors
        self.block = Block(1 if vectors is None else vectors.width)
        self.arguments = Arguments(whole=True)

    def run(self, parts: Sequence[_Part], *, batched: bool) -> None:
        """Write segments one after another, for each vector of samples if there are samples."""
        if not batched:
            self.segments(parts, {})
            return
        loops = Loops(self.write, self.vectors, self.block, {_SAMPLES: SAMPLES})

        def body(size: int, _: list[str]) -> list[str]:
            self.segments(parts, {_SAMPLES: size})
            return []

        if self.vectors is None:
            loops.over([_SAMPLES], [], lambda _: body(1, []))
        else:
            cost = sum(nest.cost for part in parts for nest in part.segment.nests)
            loops.in_blocks(_SAMPLES, 2 if cost <= _SMALL else 1, [], body, vector=True)

    def segments(self, parts: Sequence[_Part], sizes: dict[Dimension, int]) -> None:
        """Write segments one after another, in a block of samples."""
        known: dict[Place, str] = {}
        for part in parts:
            known = self.segment(part.segment, part.step.carrying, known, sizes)

    def segment(
        self,
        segment: Segment,
        carried: Carrying,
        known: dict[Place, str],
        sizes: dict[Dimension, int],
    ) -> dict[Place, str]:
        """Write a segment, given what is known before; return what is known after it."""
        start, stop = self.step(segment.start), self.step(segment.stop)
        first = start if self.ahead > 0 else self.step(segment.stop - 1)
        if segment.steps == 1:
            registers = self.registers(known)
            self.nests(segment.nests, segment, first, registers, sizes)
            return registers.later(self.ahead)
        moving = {
            place.at(sample): source.at(sample)
            for place, source in carried.moving.items()
            for sample in range(0, sizes.get(_SAMPLES, 1) * self.block.width, self.block.width)
        }
        before = self.registers(known)
        self.nests(segment.first, None, first, before, sizes)
        initial = [
            self.known(place, before) or self.initial(place, first, sizes)
            for place in (*moving, *carried.fixed)
        ]
        fixed = dict(zip(carried.fixed, initial[len(moving) :], strict=True))

        def body(index: str, values: list[str]) -> list[str]:
            registers = self.registers({**dict(zip(moving, values, strict=True)), **fixed})
            time = index
            if self.ahead < 0:
                time = self.write.plus(first, self.write.times(index, "-1"))
            for head, number in zip(moving, values, strict=True):
                if head.at(0) in segment.heads and head.buffer not in self.unused:
                    self.keep(head, number, time, sizes)
            self.nests(segment.nests, segment, time, registers, sizes)
            ends = [source.later(-self.ahead) for source in moving.values()]
            return [value for place in ends if (value := self.known(place, registers))]

        if self.ahead < 0:
            start, stop = "0", self.count(segment)
        last = self.write.loop(
            *(start, stop, 1),
            initial[: len(moving)],
            body,
            [self.lanes(place) for place in moving],
        )
        return {**dict(zip(moving.values(), last, strict=True)), **fixed}

    def step(self, number: int) -> str:
        """Return a step's number, counted from the end if that is nearer.

        So loops that differ in their number of steps only have the same text.
        """
        if number <= self.steps // 2:
            return str(number)
        return self.before_end(self.steps - number)

    def count(self, segment: Segment) -> str:
        """Return how many steps a segment has, which its text knows if it has one end only."""
        if segment.start <= self.steps // 2 < segment.stop:
            return self.before_end(self.steps - segment.steps)
        return str(segment.steps)

    def before_end(self, distance: int) -> str:
        """Return the number of steps less some."""
        steps = self.write.steps()
        return self.write.plus(steps, f"-{distance}") if distance else steps

    def registers(self, known: dict[Place, str]) -> Registers:
        """Return registers in which some numbers are known."""
        registers = Registers(unused=self.unused)
        for place, value in known.items():
            registers.set(place, value)
        return registers

    def lanes(self, place: Place) -> int:
        """Return the lanes of what is known of a place."""
        return self.block.width if self.buffers[place.buffer].batched else place.lanes

    def plan(self, segment: Segment, known: Collection[Place]) -> Step | None:
        """Return what a segment carries on, given what is known before it."""
        return carrying.plan(
            *(segment.steps, self.ahead, known, segment.heads),
            lambda registers: self.alone(segment.nests, registers, segment),
        )

    def alone(
        self, nests: Sequence[StepNest], registers: Registers, segment: Segment | None = None
    ) -> None:
        """Write nests at any time, of any samples."""
        batched = any(x.nest.batched for x in nests)
        self.block.corner[_SAMPLES] = "0"
        self.nests(nests, segment, "time", registers, {_SAMPLES: 1} if batched else {})

    def nests(
        self,
        nests: Sequence[StepNest],
        segment: Segment | None,
        time: str,
        registers: Registers,
        sizes: dict[Dimension, int],
    ) -> None:
        """Write nests at a time in a segment; None: one in which all of them run."""
        self.block.corner[TIME] = time
        for nest in nests:
            start, stop = nest.steps
            registers.sometimes = segment is not None and not (
                start <= segment.start and segment.stop <= stop
            )
            if registers.sometimes:
                write = partial(self.nest, nest, time, registers, sizes)
                self.write.within(time, self.step(start), self.step(stop), write)
            else:
                self.nest(nest, time, registers, sizes)
        registers.sometimes = False

    def nest(
        self, step: StepNest, time: str, registers: Registers, sizes: dict[Dimension, int]
    ) -> None:
        """Write a nest at a time."""
        loops = Loops(
            *(self.write, self.vectors, self.block, dict(step.extents)), unrolled=step.unrolled
        )
        accesses = Accesses(
            *(step.strides, self.buffers, self.write, self.vectors, self.block),
            *(self.arguments, registers),
        )
        emitter = NestEmitter(step.nest, loops, accesses, step.plan)
        registers.looping = registers.sometimes or step.looping(self.block.width)
        if registers.looping:
            registers.clobber(step.nest.out.buffer)
        if step.rows is None:
            emitter.run(sizes)
            return

        def row(index: str, _: list[str]) -> list[str]:
            self.block.corner["row", 0] = index
            emitter.run(sizes)
            return []

        following = str(int(time) + 1) if time.isdecimal() else self.write.plus(time, "1")
        table = self.write.table(self.arguments.table(step.rows))
        start, stop = (
            self.write.load("index", self.write.address("index", table, t))
            for t in (time, following)
        )
        self.write.loop(start, stop, 1, [], row)

    def known(self, place: Place, registers: Registers) -> str | None:
        """Return what registers have of a place."""
        self.block.memo = {}
        return self.accesses(registers).known(place)

    def initial(self, place: Place, time: str, sizes: dict[Dimension, int]) -> str:
        """Return what lies at a place in memory at a time."""
        with self.at(place, time, sizes) as (access, point):
            return self.accesses(None).from_memory(access, point, self.block.vector)

    def keep(self, place: Place, value: str, time: str, sizes: dict[Dimension, int]) -> None:
        """Write what lies at a place at a time in memory."""
        with self.at(place, time, sizes) as (access, point):
            self.accesses(None).to_memory(access, point, value)

    def accesses(self, registers: Registers | None) -> Accesses:
        """Return accesses at places, which are vectors at the most."""
        return Accesses(
            *(Strides([TIME, _LANES], self.buffers), self.buffers, self.write, self.vectors),
            *(self.block, self.arguments, registers),
        )

    @contextmanager
    def at(
        self, place: Place, time: str, sizes: dict[Dimension, int]
    ) -> Iterator[tuple[Access, Point]]:
        """Return the access and the point that lie at a place at a time, where the block is."""
        block = self.block
        block.corner |= {TIME: time, _LANES: "0"}
        block.memo = {}
        point: Point = ()
        if place.lanes > 1:
            assert self.vectors is not None
            block.vector, point = _LANES, ((_LANES, 0),)
            if place.numbers < place.lanes:
                block.masks[_LANES, 0] = self.vectors.first(place.numbers)
        elif self.vectors is not None and sizes and self.buffers[place.buffer].batched:
            block.vector, point = _SAMPLES, ((_SAMPLES, place.sample),)
        yield Access(place.buffer, place.offset, (place.time, place.stride)), point
        block.vector = None
        block.masks.pop((_LANES, 0), None)
