"""Skeletons: traces without their numbers, by which programs are found that need other numbers.

An attribute that is annealed, such as a temperature, is a constant of each trace, and each of its
values makes another structure. Constants in which two traces differed are inputs of the next
program, and traces that differ in no others need nothing rolled, differentiated or compiled.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.call.flat_arguments import FlatArguments
from liftgrad.lift.capture.tracing import Trace
from liftgrad.lift.later import Later
from liftgrad.lift.pipeline import Compiled, Ending
from liftgrad.lift.recovery import with_constants
from liftgrad.lift.trace.nodes import CONSTANT

_MOST = 4
"""Skeletons that are remembered."""
_QUICK = 20_000
"""Nodes whose skeleton takes no time worth mentioning."""


@dataclass(frozen=True, slots=True, eq=False)
class Skeleton:
    """A trace without its numbers, and these."""

    key: tuple[object, ...]
    """Equal for traces that do the same with other constants."""
    nodes: list[int]
    """The nodes that are constants."""
    numbers: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """A program, and what it was traced as."""

    skeleton: Skeleton
    made: Compiled[Ending]
    later: Later | None
    """The same with its gradient, if that waits until someone asks for it."""
    inputs: NDArray[np.bool_]
    """Which of the constants are inputs."""


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """What is known of a trace."""

    skeleton: Skeleton | None = None
    made: Compiled[Ending] | None = None
    """The program for it, if no other is needed."""
    later: Later | None = None
    """The same with its gradient, if that waits until someone asks for it."""
    chosen: NDArray[np.bool_] | None = None
    """Else which constants are to be inputs of its program."""

    @property
    def inputs(self) -> Mapping[int, float]:
        """Their numbers, by their nodes."""
        if self.skeleton is None or self.chosen is None:
            return {}
        places = np.nonzero(self.chosen)[0]
        nodes = [self.skeleton.nodes[i] for i in places]
        return dict(zip(nodes, self.skeleton.numbers[places].tolist(), strict=True))


class Skeletons:
    """The programs that were made last, by their skeletons."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], _Known] = {}

    def search(self, traced: Trace, flat: FlatArguments, structures: int) -> Search:
        """Return what is known of a trace, if there were so many structures before."""
        if traced.tape.scans or (not structures and len(traced.tape.nodes) > _QUICK):
            return Search()  # most functions are traced once
        skeleton = skeleton_of(traced, flat)
        known = self._known.get(skeleton.key)
        if known is None:
            return Search(skeleton, chosen=np.zeros(len(skeleton.numbers), bool))
        others = skeleton.numbers != known.skeleton.numbers
        if (others & ~known.inputs).any():
            return Search(skeleton, chosen=known.inputs | others)
        made, later = known.made, known.later
        if later is not None and later.known is not None:
            made, later = later.known, None
        built = made.built
        names = {built.leaf_of[i]: flat.groups[i].leaf_names() for i in built.leaf_of}
        built = replace(
            built, rebuild=traced.rebuild, fixed=traced.fixed, names={**built.names, **names}
        )
        built = with_constants(built, skeleton.numbers[known.inputs].tolist())
        return Search(skeleton, replace(made, built=built), later)

    def add(self, search: Search, made: Compiled[Ending], later: Later | None) -> None:
        """Note the program that was made after a search, and the one with its gradient."""
        if search.skeleton is None or search.chosen is None:
            return
        self._known.pop(search.skeleton.key, None)
        known = _Known(search.skeleton, made, later, search.chosen)
        self._known[search.skeleton.key] = known
        while len(self._known) > _MOST:
            del self._known[next(iter(self._known))]

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()


def skeleton_of(traced: Trace, flat: FlatArguments) -> Skeleton:
    """Return a trace without its numbers; nan and zeros, which are special, are no numbers."""
    tape = traced.tape
    kinds: dict[object, int] = {}
    words: list[int] = []
    nodes, numbers = [], []
    for i, node in enumerate(tape.nodes):
        if node[0] is not CONSTANT:
            words += (kinds.setdefault(node[0], len(kinds)), len(node), *node[1:])
        elif isinstance(node[1], float):
            words.append(-1)
            nodes.append(i)
            numbers.append(node[1])
        else:
            words.append(kinds.setdefault(node, len(kinds)))
    leaves = tuple([(g.name, g.kind, g.size, i in tape.batched) for i, g in enumerate(flat.groups)])
    key = (
        *(hashlib.sha256(np.array(words, np.int64).tobytes()).digest(), tuple(kinds), leaves),
        *(tuple(traced.outputs), tuple(traced.batched), tuple(traced.plain), traced.single),
        *(tuple(traced.fixed), frozenset(tape.batched), frozenset(tape.measured)),
        *(frozenset(tape.bounds.items()), tape.averaged),
        tuple([(draw.mapped, draw.count) for draw in tape.draws]),
    )
    return Skeleton(key, nodes, np.array(numbers))
