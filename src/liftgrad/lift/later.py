"""Later: a program with its gradient, which is compiled once someone asks for it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from liftgrad.lift.pipeline import Built, Compiled, Ending
from liftgrad.lift.recovery import with_constants


class Later:
    """A program that is compiled when it is first asked for.

    Args:
        make: compiles it.
        instead: returns what runs it if its loops over time have no gradient that is compiled.

    """

    def __init__(
        self, make: Callable[[], Compiled[Ending]], instead: Callable[[], Any] | None = None
    ) -> None:
        self._make: Callable[[], Compiled[Ending]] | None = make
        self.instead = instead
        self.known: Compiled[Ending] | None = None
        """The program, if it was asked for."""

    def made(self) -> Compiled[Ending]:
        """Return the program."""
        if self.known is None:
            assert self._make is not None
            self.known = self._make()
            self._make = self.instead = None  # which hold what the program was made of
        return self.known

    def like(self, built: Built) -> Compiled[Ending]:
        """Return the program with the constants of one that shares it; see `Skeletons`."""
        made = self.made()
        names = {g: built.names[built.leaf_of[i]] for i, g in made.built.leaf_of.items()}
        names = {**made.built.names, **names}
        other = replace(made.built, rebuild=built.rebuild, fixed=built.fixed, names=names)
        numbers = [x for constants in built.constants.values() for x in constants.tolist()]
        return replace(made, built=with_constants(other, numbers))


def same_leaves(built: Built, other: Built) -> dict[int, int]:
    """Return for each leaf group that calls set the one of another program of their function."""
    pairs = {group: other.leaf_of[i] for i, group in built.leaf_of.items()}
    for mine, theirs in zip(built.draws, other.draws, strict=True):
        if mine.group is not None:
            assert theirs.group is not None
            pairs[mine.group] = theirs.group
    return pairs
