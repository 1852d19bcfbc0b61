"""Again: what a loop over time computes that is not worth keeping for those who read it later.

The adjoint of a loop reads of each step what the derivatives need. Where that is a product of
numbers that are read as well, multiplying them again is as quick as a load, and saves a store and
the memory for all steps. What a loop takes over from another step is read there.

Invariant: it is computed from what is read outside of the loop anyway, or in no loop.
"""

from collections.abc import Sequence

from liftgrad import ops
from liftgrad.lift.ir.groups import Elementwise, Group, Rolled, Sum, View, loop_of_each, views

_QUICK = {ops.add, ops.subtract, ops.multiply, ops.negate}
_MOST_OPERATIONS = 2
"""Operations that are as quick as a load."""
_MOST_READS = 2
"""How often each element may be computed again."""


def computed_again(program: Rolled, outputs: Sequence[View]) -> set[int]:
    """Return the groups of loops that are computed again wherever they are read outside."""
    groups, loop_of = program.groups, loop_of_each(program)
    reads: dict[int, int] = {}
    """How many elements of a group are read outside of its loop."""
    for i, group in enumerate(groups if loop_of else ()):
        for view in views(group):
            if view.group in loop_of and loop_of[view.group] is not loop_of.get(i):
                reads[view.group] = reads.get(view.group, 0) + len(view.positions)
    results = {view.group for view in outputs}
    operations: dict[int, int] = {}
    """For each group that is computed again how many operations it takes."""
    for i in sorted(reads.keys() - results):
        group = groups[i]
        if is_copy(group):
            operations[i] = 0
        elif _is_quick(group) and reads[i] <= _MOST_READS * group.size:
            read = [v.group for v in views(group) if loop_of.get(v.group) is loop_of[i]]
            count = 1 + sum(operations.get(j, 0) for j in read)
            if count <= _MOST_OPERATIONS and all(j in reads or j in results for j in read):
                operations[i] = count
    return set(operations)


def is_copy(group: Group) -> bool:
    """Return whether a group only has elements of another one."""
    if not isinstance(group, Sum) or len(group.operands) > 1:
        return False
    return group.operands[0].uniform == 1


def _is_quick(group: Group) -> bool:
    return isinstance(group, Elementwise) and group.operation in _QUICK
