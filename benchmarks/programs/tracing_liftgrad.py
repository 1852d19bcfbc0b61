"""How long liftgrad takes to trace and roll a scalar operation, by the size of the program.

Or, to compare, to compute the network and its gradient with the eager engine.
"""

import sys
from typing import TYPE_CHECKING, Any

from common import MOONS, clock, moons, report

from liftgrad import lift, nn

if TYPE_CHECKING:
    from liftgrad.lift.function import LiftedFunction


@lift
def network(model: nn.MLP, X: Any, y: Any) -> Any:
    """Return the moons loss: few classes of many nodes."""
    scores = [model(x) for x in X]
    return sum((1 - t * s).relu() for t, s in zip(y, scores, strict=True)) / len(scores)


@lift
def orbit(state: Any, steps: int) -> Any:
    """Return where a planet gets to: a chain of many classes of few nodes."""
    x, y, u, v = state
    for _ in range(steps):
        pull = 0.01 * (x * x + y * y + 0.1) ** -1.5
        u, v = u - pull * x, v - pull * y
        x, y = x + 0.01 * u, y + 0.01 * v
    return x * x + y * y


def main(task: str, operations: int) -> None:
    """Trace and roll about this many scalar operations of a task: network, orbit or eager."""
    function: LiftedFunction[..., Any]
    arguments: tuple[Any, ...]
    if task in ("network", "eager"):
        # Each point takes 576 products, 576 additions, 48 relu, and 4 operations for the loss.
        count, each = operations // 1204, 1204
        function, arguments = network, (nn.MLP(MOONS[0], MOONS[1:]), *moons(count))
    else:
        count, each = operations // 14, 14
        function, arguments = orbit, ([1.0, 0.0, 0.0, 1.0], count)
    start = clock()
    if task == "eager":
        function.function(*arguments).backward()
    else:
        function.source.build(*function.source.flatten(arguments, {}))
    report(count * each, (clock() - start) / (count * each))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
