"""Few forms: where nothing repeats, expressions are cut until most of them are alike.

Each form of expression gets a kernel, which takes LLVM a millisecond or two. Of thousands of
elements that are all computed differently, frequent forms stay; the others are cut to single
operations, of which there are a few dozen forms, and numbers that are seldom used are loaded.

Invariant: what was kept in memory still is.
"""

from collections import Counter
from collections.abc import Container, Iterator, Sequence

from liftgrad.lift.ir.groups import Constants, Elementwise, Group, Sum, views
from liftgrad.lift.scheduling.compose import is_condition
from liftgrad.lift.scheduling.elements import MOST_TERMS, Fusion, Term, terms_of, without_loops

_MOST_FORMS = 256
"""Forms that a program's single elements may have before any is cut."""
_FREQUENT_FORMS, _FEW_USES = 128, 8
"""Then at most so many stay whole, if they are used more often than this."""
_MOST_NUMBERS = 64
"""Different numbers that are written in kernels; those used most often."""
_LONGEST_RUN = 8
"""Elements of a run whose sum is then written out, not a loop."""
_LOADED = -1
"""The form of an operand that is loaded."""


def with_few_forms(
    groups: Sequence[Group], kept: Sequence[bool | None], others: Container[int]
) -> Fusion:
    """Return what is kept in memory so that single elements have few forms.

    Args:
        groups: the program's.
        kept: which of them would be kept without this.
        others: those that stay as they are.

    """
    known = without_loops(groups, kept, _LONGEST_RUN)
    alone = [
        i
        for i, group in enumerate(groups)
        if known[i] and not group.batched and group.size == 1 and i not in others
    ]
    if len(alone) > _MOST_FORMS:
        numbers = _numbers(groups, alone)
        loaded = frozenset(numbers) - {number for number, _ in numbers.most_common(_MOST_NUMBERS)}
        forms = _Forms(groups, kept, known, loaded)
        if len({form for i in alone if kept[i] for form in forms.of[i]}) > _MOST_FORMS:
            return Fusion(_cut(groups, kept, alone, forms), known, loaded)
    return Fusion(kept, without_loops(groups, kept))


class _Forms:
    """What the kernel of each element depends on, as far as groups tell, as a number."""

    def __init__(
        self,
        groups: Sequence[Group],
        kept: Sequence[bool | None],
        known: Sequence[bool],
        loaded: frozenset[str],
    ) -> None:
        self.of: list[Sequence[int]] = [()] * len(groups)
        """For each group that is computed without a loop the form of each nest it would be."""
        self.loaded = loaded
        numbers: dict[tuple[object, ...], int] = {}
        of = self.of
        for i, group in enumerate(groups):
            if not known[i] or group.__class__ is Constants:
                continue
            forms = []
            kind = group.operation if isinstance(group, Elementwise) else type(group)
            for part in _parts(group):
                key: list[object] = [kind]
                for j, position in part:
                    operand = groups[j]
                    if operand.__class__ is Constants:
                        number = operand.numbers.item(position).hex()
                        key.append(_LOADED if number in loaded else number)
                    else:
                        key.append(_LOADED if kept[j] else of[j][0])
                forms.append(numbers.setdefault(tuple(key), len(numbers)))
            of[i] = forms


def _cut(
    groups: Sequence[Group], kept: Sequence[bool | None], alone: Sequence[int], forms: _Forms
) -> list[bool | None]:
    """Return what is kept so that rare forms are cut, and constants that are loaded."""
    counts = Counter(form for i in alone for form in forms.of[i])
    frequent = {form for form, n in counts.most_common(_FREQUENT_FORMS) if n > _FEW_USES}
    result = list(kept)
    for i in reversed(alone):
        if not result[i] or frequent.issuperset(forms.of[i]):
            continue
        for part, form in zip(_parts(groups[i]), forms.of[i], strict=True):
            if form not in frequent:
                for j in _inner(groups, kept, part):
                    result[j] = True
    if forms.loaded:
        for i, group in enumerate(groups):
            if group.__class__ is Constants and kept[i] is not None:
                hexes = map(float.hex, group.numbers.tolist())
                result[i] = result[i] or not forms.loaded.isdisjoint(hexes)
    return result


def _numbers(groups: Sequence[Group], readers: Sequence[int]) -> Counter[str]:
    """Return how often each number is used by some groups of one element."""
    return Counter(
        group.numbers.item(position).hex()
        for i in readers
        for view in views(groups[i])
        if isinstance(group := groups[view.group], Constants)
        for position in view.positions.tolist()
    )


def _parts(group: Group) -> list[list[Term]]:
    """Return what each nest that computes a group's first element reads."""
    terms = terms_of(group, 0)
    if len(terms) <= MOST_TERMS or not isinstance(group, Sum):
        return [terms]
    return [terms[first : first + MOST_TERMS] for first in range(0, len(terms), MOST_TERMS)]


def _inner(
    groups: Sequence[Group], kept: Sequence[bool | None], terms: Sequence[Term]
) -> Iterator[int]:
    """Yield the groups that are fused into an expression, and are to be kept to cut it."""
    for i, position in terms:
        if kept[i] or isinstance(groups[i], Constants):
            continue
        if is_condition(groups[i]):  # not worth a number in memory
            yield from _inner(groups, kept, terms_of(groups[i], position))
        else:
            yield i
