"""Names: what the groups of a program are called, and which indices their elements have.

Leaf groups are called as in the user's program, and what is computed is called by the operation
that computes it: h1 for an activation, exp1, z1. An adjoint has its group's name after a "∂".
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.call.leaves import LeafNames
from liftgrad.lift.explain.lines import Line, renaming
from liftgrad.lift.explain.loops import Loops, position_within, row_extents
from liftgrad.lift.explain.naming import Column, Naming, Paths, array_columns
from liftgrad.lift.explain.own_names import OwnNames
from liftgrad.lift.explain.states import states
from liftgrad.lift.ir.groups import (
    Constants,
    Elementwise,
    Indices,
    Leaf,
    Rolled,
    Sum,
    View,
)
from liftgrad.lift.ir.nests import Apply, Expression, Reduce


class Names:
    """The names of a program's groups, of subexpressions that have one, and of its tables.

    Args:
        rolled: the groups.
        leaves: what the user's program calls the numbers of leaf groups.
        function: the function's name, which is that of its result.
        results: what the function returns.
        variables: the user's variables that groups become, as far as they are known.
        kept: the groups that are kept in memory.

    """

    def __init__(
        self,
        rolled: Rolled,
        leaves: Mapping[int, LeafNames],
        function: str,
        results: Sequence[View],
        variables: Mapping[int, str],
        kept: Collection[int],
    ) -> None:
        self.rolled, self.function, self.results = rolled, function, results
        self.namings: dict[int, Naming] = {}
        """By group; numbers beyond the program's groups stand for results and gradients."""
        self.subexpressions: dict[int, str] = {}
        """The names of subexpressions, by the identity of the expression."""
        self.tables: dict[tuple[Any, ...], str] = {}
        """The names of tables of numbers, which are listed below the program."""
        arguments = {names.name for names in leaves.values()}
        self.sample = next(x for x in "stuvn" if x not in arguments)
        """The letter of the samples of a batch."""
        mapped = any(group.batched for group in rolled.groups)
        free = (x for x in "tnmijkl" if x not in {*arguments, self.sample})
        self.time = next(free) if rolled.loops else ""
        """The letter of the steps of loops over time; "": there are none."""
        self.states = states(rolled)
        """What heads of loops hold: they have the names of that."""
        self._steps = {
            loop.first + i: np.repeat(np.arange(loop.steps), np.diff(offsets))
            for loop in rolled.loops
            for i, offsets in enumerate(loop.offsets)
        }
        """The step of each element of loops' groups."""
        held = {state.group for state in self.states.values()}
        ranked = sorted(kept, key=lambda i: (i in held, i in self._steps, i))
        letters = {self.sample, self.time} if mapped else {self.time}
        self._own = OwnNames(
            rolled.groups, variables, ranked, arguments, {function, "samples", *letters}
        )
        self._host: dict[int, int] = {}
        """For groups that are subexpressions the group that the line computes."""
        self._beyond = count(len(rolled.groups))
        for i, group in enumerate(rolled.groups):
            if isinstance(group, Leaf):
                # Without vmap the first dimension of an array is taken to count samples.
                self.namings[i] = self._of_leaf(group, leaves.get(i), samples=not mapped)
            elif isinstance(group, Constants):
                self.namings[i] = Naming(self._own.of(i))

    @property
    def taken(self) -> Collection[str]:
        """Names that are no letters for loops."""
        return self._own.taken

    def naming(self, group: int) -> Naming:
        """Return a group's naming, with the indices of the group whose adjoint or host it is."""
        if group in self.states and (of_state := self.of_state(group)) is not None:
            return of_state
        if group not in self.namings:  # a head that has a name of its own after all
            self.namings[group] = self._of_computed(group)
        naming = self.namings[group]
        if not naming.indexed and self.constants(group) is None:
            of = self._host.get(group)
            if of is None:
                of = self.rolled.roles.get(group, ("", -1))[1]
            if self._known(of):
                naming.columns = self.naming(of).columns
        return naming

    def of_state(self, head: int) -> Naming | None:
        """Return the naming of a head that holds a state: the state's, at another step.

        None: it has a name of its own, because the state's indices do not go on beyond its loop.
        """
        state = self.states[head]
        if state.group not in self.namings:
            return Naming("")  # in a dry run
        of_group = self.naming(state.group)
        columns = None
        if of_group.columns is not None:
            columns = state.columns(of_group.columns)
            if columns is None or of_group.paths is not None:
                return None
        return Naming(of_group.name, of_group.sample, columns, prefix=of_group.prefix)

    def knows_steps(self, group: int) -> bool:
        """Whether it is known which of a group's indices is the step: it is in a loop."""
        return group in self._steps

    def number_steps(self, group: int) -> None:
        """Let the indices of a loop's group be the step and the position in it, if none are."""
        steps, naming = self._steps.get(group), self.naming(group)
        if steps is not None and not naming.indexed:
            within = position_within(steps)
            naming.columns = (Column(steps, time=True),)
            if within.any():
                naming.columns += (Column(within),)

    def constants(self, group: int) -> NDArray[np.float64] | None:
        """Return a group's numbers, if they are written in the program."""
        groups = self.rolled.groups
        found = groups[group] if group < len(groups) else None
        return found.numbers if isinstance(found, Constants) else None

    def size(self, group: int, otherwise: int) -> int:
        """Return how many elements a group has, if it is one of the program's."""
        groups = self.rolled.groups
        return groups[group].size if group < len(groups) else otherwise

    def table(self, numbers: Sequence[Any], stem: str) -> str:
        """Return the name of a table of numbers."""
        stem += str(sum(name.startswith(stem) for name in self.tables.values()) + 1)
        return self.tables.setdefault(tuple(numbers), stem)

    def add_line(self, line: Line, differentiated: set[int]) -> None:
        """Name the group that a line computes, and its subexpressions whose adjoint is kept."""
        group = line.out.group
        if not self._known(group):
            self.namings[group] = self._of_computed(group)
        for x, inner in _subexpressions(self.rolled, group, line.body):
            if inner in differentiated and inner not in self.namings:
                name = self._own.of(inner)
                self.subexpressions[id(x)] = name
                self._host[inner] = group
                self.namings[inner] = Naming(name, self.naming(group).sample)

    def add_results(self) -> Iterator[Line]:
        """Yield lines that say which elements the results are, if no group has their name."""
        if any(naming.name == self.function for naming in self.namings.values()):
            return
        numbers = Column(np.arange(len(self.results)))
        start = 0
        for view in _joined(self.results):
            batched = self.rolled.groups[view.group].batched
            group = next(self._beyond)
            self.namings[group] = Naming(
                self.function,
                self.sample if batched else "",
                () if len(self.results) == 1 else (numbers,),
            )
            yield renaming(group, view, start, batched=batched)
            start += len(view.positions)

    def add_gradients(self, gradients: Mapping[int, View]) -> Iterator[Line]:
        """Yield lines that say which elements the gradients are, if no group has their name."""
        for leaf, view in gradients.items():
            constants = self.constants(view.group)
            zero = constants is not None and not constants[view.positions].any()
            unnamed = self.rolled.roles.get(view.group) != ("∂", leaf)
            if (unnamed or constants is not None) and not zero:
                of = self.namings[leaf]
                group = next(self._beyond)
                self.namings[group] = Naming(of.name, "", of.columns, of.paths, "∂")
                yield renaming(group, view, 0, batched=False)

    def index_ragged(self, line: Line) -> None:
        """Give what a ragged reduction runs over the row's indices and the position in the row."""
        if line.time is not None:
            return
        for r, lengths in enumerate(line.lengths):
            if len(set(lengths)) == 1:
                continue
            each = np.repeat(np.array(lengths), line.rows)
            written = np.concatenate([block.reshape(-1) for block in line.out.blocks])
            loops = Loops.rectangular(row_extents([each, written]))
            for touch in line.touches.values():
                naming = self.namings.get(touch.group)
                if touch.reduction != r or naming is None or touch.index is not None:
                    continue
                if self.constants(touch.group) is not None:
                    continue  # they are listed one after another
                order = np.concatenate([block.reshape(-1) for block in touch.blocks])
                if naming.indexed or not np.array_equal(order, np.arange(len(order))):
                    continue
                if len(order) == self.rolled.groups[touch.group].size:
                    columns = [Column(np.repeat(column, each)) for column in loops.columns]
                    in_row = np.concatenate([np.arange(length) for length in each])
                    naming.columns = (*columns, Column(in_row))

    def _known(self, group: int) -> bool:
        """Whether a group has a name."""
        return group in self.namings or group in self.states

    def _of_leaf(self, group: Leaf, names: LeafNames | None, *, samples: bool) -> Naming:
        sample = self.sample if group.batched else ""
        if names is None:
            flat = Column(np.arange(group.size), flat=True)
            return Naming(group.name, sample, () if group.size == 1 else (flat,))
        if names.shape is not None:
            shape = names.shape[1:] if group.batched else names.shape
            return Naming(names.name, sample, array_columns(shape, samples=samples))
        return Naming(names.name, paths=Paths(names.paths))

    def _of_computed(self, i: int) -> Naming:
        group = self.rolled.groups[i]
        naming = Naming("", self.sample if group.batched else "", () if group.size == 1 else None)
        role, of = self.rolled.roles.get(i, ("", -1))
        results = [view for view in _joined(self.results) if view.group == i]
        alone = sum(len(view.positions) for view in results) == len(self.results)
        if alone and results and _identity(results[0].positions, group.size):
            naming.name = self.function
        elif self._known(of):
            original = self.naming(of)
            naming.name, naming.paths = original.name, original.paths
            if role == "=":
                naming.prefix = original.prefix
                return naming
            taken = {other.prefix + other.name for other in self.namings.values()}
            while role + original.prefix + original.name in taken:
                role += "′"
            naming.prefix = role + original.prefix
        else:
            naming.name = self._own.of(i)
        return naming


def _subexpressions(rolled: Rolled, i: int, x: Expression) -> Iterator[tuple[Expression, int]]:
    """Yield the subexpressions of a group's expression that compute other groups in order."""
    group = rolled.groups[i]
    if not isinstance(x, Apply):
        return
    if isinstance(group, Elementwise) and group.operation is x.operation:
        for view, operand in zip(group.operands, x.operands, strict=True):
            size = rolled.groups[view.group].size
            if isinstance(operand, Apply | Reduce) and _identity(view.positions, size):
                yield operand, view.group
                yield from _subexpressions(rolled, view.group, operand)
    elif isinstance(group, Sum) and len(group.operands) == 1:
        (run,) = group.operands
        if run.uniform == 1 and _identity(run.positions, rolled.groups[run.group].size):
            yield from _subexpressions(rolled, run.group, x)


def _identity(positions: Indices, size: int) -> bool:
    return len(positions) == size and bool((positions == np.arange(size)).all())


def _joined(views: Iterable[View]) -> list[View]:
    """Return the views, consecutive ones of one group joined."""
    result: list[View] = []
    for view in views:
        if result and result[-1].group == view.group:
            result[-1] = View(view.group, np.concatenate([result[-1].positions, view.positions]))
        else:
            result.append(view)
    return result
