"""Own names: what is computed is called by the user's variable, if known, or by its operation."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count
from typing import assert_never

from liftgrad import ops
from liftgrad.lift.ir.groups import Constants, Elementwise, Group, Largest, Leaf, Put, Sum, Take

_OF_TABLES = re.compile(r"_|(numbers|table|values)[0-9]+")
"""Names that mean something else in a listing, or nothing to the user."""


class OwnNames:
    """Names for groups, each given once.

    Args:
        groups: the program's.
        variables: the user's variables that groups become, as far as they are known.
        ranked: groups, of which the last that becomes a variable has its name as it is.
        arguments: the names of the function's arguments.
        taken: other names that are not free.

    """

    def __init__(
        self,
        groups: Sequence[Group],
        variables: Mapping[int, str],
        ranked: Sequence[int],
        arguments: Collection[str],
        taken: Collection[str],
    ) -> None:
        self.groups, self.variables, self.arguments = groups, variables, arguments
        self.called = {variables[i]: i for i in ranked if i in variables}
        """For a variable that several groups become the one that it names."""
        self.taken = {*arguments, *taken}
        self.used: Counter[str] = Counter()

    def of(self, i: int) -> str:
        """Return a name for a group, which it takes."""
        variable = self.variables.get(i)
        if variable is None or _OF_TABLES.fullmatch(variable):
            stem = _stem(self.groups[i])
            numbers = count(self.used[stem] + 1)
            name = next(x for n in numbers if (x := f"{stem}{n}") not in self.taken)
            self.used[stem] = int(name.removeprefix(stem))
        else:
            names = _numbered(variable, plain=self.called.get(variable, i) == i)
            name = next(name for name in names if self._is_free(name))
        self.taken.add(name)
        return name

    def _is_free(self, name: str) -> bool:
        """Whether neither a name nor the argument that it would be a part of is taken."""
        return name not in self.taken and name.split(".", maxsplit=1)[0] not in self.arguments


def _numbered(variable: str, *, plain: bool) -> Iterator[str]:
    """Yield names for groups that become one variable: x, x1, x2, ...; k, k1, or k.0, k1.0, ...."""
    first, dot, rest = variable.partition(".")
    if plain:
        yield variable
    stem = first + "_" * first[-1].isdigit()
    for n in count(1):
        yield f"{stem}{n}{dot}{rest}"


def _stem(group: Group) -> str:
    """Return how a group's name begins: h for an activation, else by the operation, or z."""
    match group:
        case Elementwise(operation=operation) if operation.activation:
            return "h"
        case Elementwise(operation=operation) if (
            operation is not ops.select and operation.notation.startswith(f"{operation.symbol}(")
        ):
            return operation.symbol
        case Constants():
            return "numbers"
        case Largest():
            return "max"
        case Put():
            return "scatter"
        case Elementwise() | Sum() | Take() | Leaf():
            return "z"
        case _:
            assert_never(group)
