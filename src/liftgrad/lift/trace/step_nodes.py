"""Step nodes: which of a tape's nodes are computed in each step of a scan."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from liftgrad import ops
from liftgrad.lift.trace.nodes import CONSTANT, LEAF, Node
from liftgrad.lift.trace.tape import Tape


@dataclass(frozen=True, slots=True)
class StepNodes:
    """The nodes that the results of a step depend on."""

    inside: list[int]
    """Those that depend on the step, operands before what they are used in."""
    outside: set[int]
    """Those that are the same in all steps, of which the others are operands."""
    uses: Counter[int]
    """How often each of them is used in the step, or is one of its results."""


def nodes_of_step(tape: Tape, number: int, start: int, results: Sequence[int]) -> StepNodes:
    """Return the nodes of a step of a scan.

    Args:
        tape: the operations.
        number: of the scan.
        start: how many nodes there were before the step.
        results: the nodes that come out of the step.

    """
    nodes = tape.nodes
    uses = Counter(results)
    for i in range(len(nodes) - 1, start - 1, -1):
        if uses[i]:
            uses.update(_operands(nodes[i]))
    inside: dict[int, None] = {}
    outside = {i for i in results if i < start}
    for i in range(start, len(nodes)):
        if not uses[i]:
            continue
        node = nodes[i]
        if node[0] is LEAF:
            meaning = tape.meanings.get(node[1])
            if meaning and meaning.scan == number and meaning.kind in ("state", "given"):
                inside[i] = None
        elif any(a in inside for a in _operands(node)):
            inside[i] = None
    for i in inside:
        outside.update(a for a in _operands(nodes[i]) if a not in inside)
    outside.update(i for i in results if i not in inside)
    return StepNodes([*inside], outside, uses)


def accumulated(tape: Tape, step: StepNodes, states: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return the numbers of the state to which a step adds something, and that is all it does.

    Args:
        tape: the operations; what is added is recorded on it.
        step: the nodes of the step.
        states: the numbers of the state, as the step finds them.

    Returns:
        For each of them the number as the step leaves it, and what it has added.

    """
    sums = {state: (state, list[int]()) for state in states if step.uses[state] == 1}
    for i in step.inside:
        operation, *operands = tape.nodes[i] if tape.nodes[i][0] is not LEAF else (LEAF,)
        for a in operands:
            if a not in sums:
                continue
            state, terms = sums.pop(a)
            if step.uses[i] != 1:
                continue
            if operation is ops.add or operation is ops.total:
                sums[i] = state, [*terms, *(b for b in operands if b != a)]
            elif operation is ops.dot and operands[-1] == a:
                product = tape.record((ops.dot, *operands[:-1], tape.constant(0.0)))
                sums[i] = state, [*terms, product]
    return {
        state: (i, terms[0] if len(terms) == 1 else tape.record((ops.total, *terms)))
        for i, (state, terms) in sums.items()
        if terms
    }


def substituted(
    tape: Tape, step: StepNodes, instead: dict[int, int], results: Sequence[int]
) -> list[int]:
    """Return the results of a step of other operands, as they would be recorded.

    Args:
        tape: the operations, to which those are appended that are not on it.
        step: the nodes of the step.
        instead: the other operands.
        results: nodes that come out of the step.

    """
    instead = dict(instead)
    for i in step.inside:
        if i not in instead:
            operation, *operands = tape.nodes[i]
            instead[i] = tape.record((operation, *[instead.get(a, a) for a in operands]))
    return [instead.get(i, i) for i in results]


def operations_in(nodes: Sequence[Node], some: Iterable[int]) -> int:
    """Return how many operations some nodes are; a dot product is its products and a sum."""
    return sum(
        len(nodes[i]) // 2
        if nodes[i][0] is ops.dot
        else nodes[i][0] is not LEAF and nodes[i][0] is not CONSTANT
        for i in some
    )


def _operands(node: Node) -> tuple[int, ...]:
    return () if node[0] is LEAF or node[0] is CONSTANT else node[1:]
