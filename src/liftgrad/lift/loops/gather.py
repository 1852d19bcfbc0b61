"""Gather: what is read in each step, each once, in an order that is the same in all steps."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from liftgrad.lift.ir.groups import Indices


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """What is read, by step."""

    read: Indices
    steps: Indices
    """The step in which each is read, in order."""
    where: Indices
    """For each reading the place in `read`."""


def gather(read: Indices, steps: Indices, slots: Indices) -> Gathered:
    """Return what is read in each step.

    A step mostly reads as the others do: its j-th reading is of what its k-th is of. The first may
    read what is but one number instead, a recurrence's initial zero: it stays as many then.

    Args:
        read: what is read, by number, in any order within a step.
        steps: the step of each reading, in order.
        slots: the operand that each reading is for; those of one are in order, where possible.

    """
    starts, counts = _stretches(steps)
    middle = len(starts) // 2
    usual = counts[middle]
    alike = counts == usual
    table = read[starts[alike][:, None] + np.arange(usual)]
    typical = table[np.count_nonzero(alike[:middle])]
    first, column = _columns(typical, slots[starts[middle] : starts[middle] + usual])
    columns = table[:, first]
    regular = (columns[:, column] == table).all(axis=1)
    alike[alike] = regular
    if alike.all():
        width = len(first)
        where = np.arange(len(starts))[:, None] * width + column
        return Gathered(columns.reshape(-1), np.repeat(steps[starts], width), where.reshape(-1))
    # Steps that are not like the others come to their numbers in order.
    others = np.repeat(~alike, counts)
    size = int(read.max()) + 1
    pairs, place = np.unique(steps[others] * size + read[others], return_inverse=True)
    members = np.concatenate([columns[regular].reshape(-1), pairs % size])
    of_step = np.concatenate([np.repeat(steps[starts[alike]], len(first)), pairs // size])
    order = np.argsort(of_step, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    where = np.empty(len(read), np.int64)
    regulars = np.arange(int(alike.sum()))[:, None] * len(first) + column
    where[~others] = rank[regulars.reshape(-1)]
    where[others] = rank[place + regular.sum() * len(first)]
    return Gathered(members[order], of_step[order], where)


def _stretches(steps: Indices) -> tuple[Indices, Indices]:
    """Return where each step's readings begin, and how many they are."""
    starts = np.append(0, np.flatnonzero(steps[1:] != steps[:-1]) + 1)
    return starts, np.diff(np.append(starts, len(steps)))


def _columns(read: Indices, slots: Indices) -> tuple[Indices, Indices]:
    """Return the first reading of each number, in the order wanted, and each reading's number."""
    numbers, first, column = np.unique(read, return_index=True, return_inverse=True)
    follows: list[list[int]] = [[] for _ in numbers]
    waits = [0] * len(numbers)
    for slot in np.unique(slots):
        mine = column[slots == slot]
        _, firsts = np.unique(mine, return_index=True)
        sequence = mine[np.sort(firsts)].tolist()
        for a, b in pairwise(sequence):
            follows[a].append(b)
            waits[b] += 1
    order: list[int] = []
    ready = [i for i in range(len(numbers) - 1, -1, -1) if not waits[i]]
    while ready:
        i = ready.pop()
        order.append(i)
        for b in reversed(follows[i]):
            waits[b] -= 1
            if not waits[b]:
                ready.append(b)
    if len(order) < len(numbers):
        order = list(range(len(numbers)))  # the slots do not agree
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return first[order], rank[column]
