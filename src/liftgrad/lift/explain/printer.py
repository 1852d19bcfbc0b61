"""Printer: the tensor program for people, as mathematics with the user's own names.

    h1[s,i] = relu(z1 := model.layers.0.b[i] + Σ_k model.layers.0.w[i,k]·X[s,k])    s<100, i<16, k<2

One line for each loop nest, or for nests of one pattern. What a program keeps in memory has a name
by the operation that computes it. Where the gradient refers to a subexpression of a line, `:=`
introduces a name for it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from types import MappingProxyType
from typing import Any

from liftgrad.lift.call.leaves import LeafNames
from liftgrad.lift.explain.line_text import LineText
from liftgrad.lift.explain.lines import Line, lines, with_nests
from liftgrad.lift.explain.listing import Listing, PrintedLine
from liftgrad.lift.explain.names import Names
from liftgrad.lift.explain.origin import origin
from liftgrad.lift.explain.states import State
from liftgrad.lift.ir.groups import Constants, Leaf, Rolled, View
from liftgrad.lift.ir.nests import Load, Program, TimeLoop

_NUMBERS_IN_NOTE = 12


def listing(
    title: str,
    program: Program,
    rolled: Rolled,
    *,
    function: str,
    leaves: Mapping[int, LeafNames],
    results: Sequence[View],
    gradients: Mapping[int, View],
    sections: Sequence[tuple[str, int]],
    variables: Mapping[int, str] = MappingProxyType({}),
) -> Listing:
    """Return a program's nests as text.

    Args:
        title: the first line.
        program: the nests.
        rolled: the groups that they compute.
        function: the function's name, which is that of its result.
        leaves: what the user calls the numbers of leaf groups.
        results: what the function returns.
        gradients: the gradients by leaf groups.
        sections: headings after the function's own part, each with the group that it begins with.
        variables: the user's variables that groups become, as far as they are known.

    """
    kept = {buffer.group for buffer in program.buffers}
    names = Names(rolled, leaves, function, results, variables, kept)
    of_nests = lines(program)
    differentiated = {
        of for group, (role, of) in rolled.roles.items() if group in kept and role != "="
    }
    for line in of_nests:
        names.add_line(line, differentiated)
    for line in of_nests:
        names.index_ragged(line)
    renamings = [*names.add_results(), *names.add_gradients(gradients)]
    writer = _Writer(program, names, of_nests, renamings)
    # Two dry runs: indices found for later lines feed back into earlier ones.
    for _ in range(2):
        writer.write(sections)
        writer.learn_from_readers()
    written = writer.write(sections)
    text = "\n".join(line.formula for _, section in written for line in section)
    notes = ["#x counts those uses of x that are in branches taken."] if "#" in text else []
    for i, group in enumerate(rolled.groups):
        if isinstance(group, Constants) and f"{names.namings[i].name}[" in text:
            notes.append(_note(names.namings[i].name, group.numbers.tolist()))
    notes += [_note(table, numbers) for numbers, table in names.tables.items()]
    return Listing(title, written, tuple(notes))


def _note(name: str, numbers: Sequence[Any]) -> str:
    shown = ", ".join(str(x).removesuffix(".0") for x in numbers[:_NUMBERS_IN_NOTE])
    more = len(numbers) > _NUMBERS_IN_NOTE
    return f"{name} = {shown}, … ({len(numbers):,} numbers)" if more else f"{name} = {shown}"


class _Writer:
    """Writes a program's lines, once or several times."""

    def __init__(
        self, program: Program, names: Names, lines: list[Line], renamings: list[Line]
    ) -> None:
        self.program, self.names = program, names
        self.lines, self.renamings = lines, renamings
        self.texts: list[LineText] = []

    def write(
        self, headings: Sequence[tuple[str, int]]
    ) -> tuple[tuple[str, tuple[PrintedLine, ...]], ...]:
        """Return each heading that has lines under it, with them; without a heading come first."""
        self.names.tables.clear()
        self.texts.clear()
        starts = [("", 0), *headings]
        sections: list[list[PrintedLine]] = [[] for _ in starts]
        for _, together in groupby(self.lines, lambda line: id(line.time and line.time.loop)):
            headed = set()
            for line in self._shown(together):
                section = self._section(line.out.group, starts)
                printed = self._printed(line, with_origin=section == 0)
                if line.time is not None:
                    if section not in headed:
                        headed.add(section)
                        sections[section].append(self._header(line.time.loop))
                    printed = [replace(p, formula=f"  {p.formula}") for p in printed]
                elif line.out.group in self.names.states:
                    # Several heads may say the same of a state before the first step.
                    printed = [p for p in printed if p not in sections[section]]
                sections[section] += printed
        for line in self.renamings:
            gradient = self.names.namings[line.out.group].prefix == "∂"
            section = min(int(gradient), len(starts) - 1)
            sections[section] += self._printed(line, with_origin=False)
        titled = zip([heading for heading, _ in starts], map(tuple, sections), strict=True)
        return tuple((heading, printed) for heading, printed in titled if printed or not heading)

    def learn_from_readers(self) -> None:
        """Take a group's indices from a line that reads it, if those of its own line do not fit."""
        for text in self.texts:
            group = text.line.out.group
            if not text.misfits or not text.fitted.defines or text.line.time is not None:
                continue
            for reader in self.texts:
                columns = reader.fitted.indices_of(group, self.names.size(group, 0))
                if columns is not None:
                    self.names.namings[group].columns = columns
                    break

    def _section(self, group: int, starts: Sequence[tuple[str, int]]) -> int:
        """Return which section a group's lines are in."""
        if isinstance(self.names.rolled.groups[group], Leaf):  # a parameter's update
            return len(starts) - 1
        return max(section for section, (_, start) in enumerate(starts) if start <= group)

    def _shown(self, lines: Iterable[Line]) -> Iterator[Line]:
        """Yield the lines that are printed, of a loop first what its states are before it begins.

        That a head takes over a state from another step its name says already.
        """
        states, later = self.names.states, []
        for line in lines:
            state = states.get(line.out.group)
            if state is None or self.names.of_state(line.out.group) is None:
                later.append(line)
            elif not self._takes_over(line, state):
                yield replace(line, time=None)
        yield from later

    def _takes_over(self, line: Line, state: State) -> bool:
        """Whether a line gives a group that holds a state what the state is at another step."""
        if not isinstance(line.body, Load):
            return False
        source = line.touches[id(line.body.access)].group
        return source == state.group or source in self.names.states

    def _header(self, loop: TimeLoop) -> PrintedLine:
        """Return the line above those of a loop over time."""
        t, last = self.names.time, loop.steps - 1
        how = f"{t} from {last} down to 0" if loop.backwards else f"{t} < {loop.steps}"
        return PrintedLine(f"for {how}:", "")

    def _printed(self, line: Line, *, with_origin: bool) -> list[PrintedLine]:
        """Return a line's text, or several lines if its nests do not fit common loops."""
        tables, nests = dict(self.names.tables), len(line.nests)
        text = LineText(self.names, line)
        if not text.misfits or nests < 2:
            self.texts.append(text)
            return [PrintedLine(text.formula, text.extents, origin(line) if with_origin else "")]
        # The longest run of nests that fits, by bisection: if a run fits, so do shorter ones.
        fits, fails = 1, nests
        while fails - fits > 1:
            middle = (fits + fails) // 2
            if LineText(self.names, with_nests(self.program, line, 0, middle)).misfits:
                fails = middle
            else:
                fits = middle
        self.names.tables = tables
        first = with_nests(self.program, line, 0, fits)
        rest = with_nests(self.program, line, fits, nests)
        return [
            *self._printed(first, with_origin=with_origin),
            *self._printed(rest, with_origin=with_origin),
        ]
