"""What memory a lifted step takes, loss and gradients, when its program is there already."""

import sys

from common import MOONS, checksum, layers, memory_of, moons, report
from moons_liftgrad import loss, mapped_loss

from liftgrad import nn, set_num_threads


def main(task: str) -> None:
    """Run one task: unrolled (100 points) or cloud (a million, mapped over)."""
    set_num_threads(1)
    model = nn.MLP(MOONS[0], MOONS[1:])
    parameters = model.parameters()
    numbers = [x for w, b in layers(MOONS) for row, c in zip(w, b, strict=True) for x in (*row, c)]
    for parameter, number in zip(parameters, numbers, strict=True):
        parameter.data = float(number)
    chosen = loss if task == "unrolled" else mapped_loss
    X, y = moons(100 if task == "unrolled" else 1_000_000)
    if task == "cloud":
        chosen(model, X[:100], y[:100]).backward()
        model.zero_grad()
    taken = memory_of(lambda: chosen(model, X, y).backward(), arrays=task == "unrolled")
    report(checksum(p.grad for p in parameters), taken)


if __name__ == "__main__":
    main(sys.argv[1])
