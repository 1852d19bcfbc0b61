"""Check: whether a program in one of the two languages keeps all of its language's invariants.

A pass that breaks one is wrong, whatever numbers come out in the end. With `LIFTGRAD_VERIFY=1` in
the environment the result of each pass is checked, as it is in the tests; else nothing is, and it
costs nothing:

    if VERIFY:
        check_groups(rolled, after="roll")

What the invariants are is said in `rules_of_groups` and `rules_of_nests`, which are imported when
they are first asked: they would add to the time of every program's start.
"""

import os
from collections.abc import Sequence

from liftgrad.lift.ir.groups import Assignment, Rolled, View
from liftgrad.lift.ir.nests import Program

VERIFY = os.environ.get("LIFTGRAD_VERIFY") == "1"
"""Whether the result of each pass is to be checked."""


class InvalidProgramError(RuntimeError):
    """A pass made a program that breaks an invariant: a defect of liftgrad's, not of the user's."""


def check_groups(
    program: Rolled,
    after: str,
    outputs: Sequence[View] = (),
    assignments: Sequence[Assignment] = (),
) -> None:
    """Check a program of groups.

    Args:
        program: the groups, outputs, roles and tables.
        after: the pass that made it, for the message.
        outputs: what is to be computed beside the program's own outputs.
        assignments: what is to be assigned.

    Raises:
        InvalidProgramError: if it breaks an invariant; the message names the group and says how.

    """
    from liftgrad.lift.ir.rules_of_groups import problems_of_groups  # noqa: PLC0415, as above

    for problem in problems_of_groups(program, outputs, assignments):
        raise InvalidProgramError(f"after {after}: {problem}.")


def check_nests(program: Program, after: str) -> None:
    """Check a program of loop nests.

    Args:
        program: the nests, buffers, tables and outputs.
        after: the pass that made it, for the message.

    Raises:
        InvalidProgramError: if it breaks an invariant; the message names the nest and says how.

    """
    from liftgrad.lift.ir.rules_of_nests import problems_of_nests  # noqa: PLC0415, as above

    for problem in problems_of_nests(program):
        raise InvalidProgramError(f"after {after}: {problem}.")
