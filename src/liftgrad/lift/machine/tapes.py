"""Tapes as the machine's nodes: a program that runs as it was recorded, without being compiled."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.ir.groups import Indices
from liftgrad.lift.machine.nodes import BITS, CHOICES, CODES, LIMIT, SHIFT, power_by
from liftgrad.lift.trace.nodes import CONSTANT, LEAF, Node, number_of
from liftgrad.ops import Operation


@dataclass(frozen=True, slots=True, eq=False)
class TapeNodes:
    """A tape as the machine takes it."""

    nodes: NDArray[np.float64]
    inputs: NDArray[np.float64]
    """Its constants, and places for the leaves' numbers."""
    sequences: NDArray[np.float64]
    leaves: dict[int, tuple[Indices, Indices, Indices]]
    """For each leaf group the positions in it that are used, the inputs and the nodes for them."""
    outputs: list[int]
    """The nodes of the results."""


def tape_nodes(tape: Sequence[Node], outputs: Sequence[int]) -> TapeNodes | None:
    """Return a tape as nodes of the machine, or None if it does something that the machine cannot.

    The machine has no run-time indices, no batches, and no operations of the user's own.
    """
    nodes, inputs, sequences = array("d"), array("d"), array("d")
    leaves: dict[int, list[tuple[int, int, int]]] = {}
    place = [0.0] * len(tape)
    """Each node's index in the machine."""
    for i, node in enumerate(tape):
        operation = node[0]
        word = _WORDS.get(operation)
        if word is not None:
            if operation.arity is None or operation.arity > 2:
                word += (len(node) - 1) * SHIFT + len(sequences)
                sequences.extend([place[a] for a in node[1:]])
            else:
                word += place[node[1]] * SHIFT
                if len(node) == 3:
                    word += place[node[2]]
        elif operation is CONSTANT:
            word = float(len(inputs))
            inputs.append(number_of(node[1]))
        elif operation is LEAF and node[1] >= 0:
            leaves.setdefault(node[1], []).append((node[2], len(inputs), len(nodes)))
            word = float(len(inputs))
            inputs.append(0.0)
        elif isinstance(operation, Operation) and operation.parameter is not None:
            word = _WORDS[power_by] + place[node[1]] * SHIFT + len(nodes)
            nodes.append(len(inputs))
            inputs.append(operation.parameter)
        else:
            return None
        place[i] = float(len(nodes))
        nodes.append(word)
    if max(len(nodes), len(sequences)) > LIMIT:
        return None
    of_leaves = {group: np.array(used, np.int64).T for group, used in leaves.items()}
    return TapeNodes(
        *(np.array(nodes), np.array(inputs), np.array(sequences)),
        {group: (used[0], used[1], used[2]) for group, used in of_leaves.items()},
        [int(place[i]) for i in outputs],
    )


_WORDS = {operation: float(code << 2 * BITS) for operation, code in (CODES | CHOICES).items()}
"""An operation's node, as far as it does not depend on the operands."""
