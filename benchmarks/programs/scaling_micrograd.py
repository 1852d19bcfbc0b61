"""A step of moons networks of any size on any number of points with micrograd."""

import sys

from common import checksum, fastest, moons, report, set_parameters
from micrograd.nn import MLP


def main(points: int, sizes: list[int]) -> None:
    """Take steps of gradient descent."""
    model = MLP(sizes[0], sizes[1:])
    parameters = model.parameters()
    set_parameters(parameters, sizes)
    X, y = (x.tolist() for x in moons(points))

    def step() -> None:
        scores = [model(x) for x in X]
        hinge = sum((1 - yi * s).relu() for yi, s in zip(y, scores, strict=True)) * (1 / len(y))
        total = hinge + 1e-4 * sum(p * p for p in parameters)
        model.zero_grad()
        total.backward()
        for p in parameters:
            p.data -= 0.01 * p.grad

    for _ in range(5):
        step()
    check = checksum(p.data for p in parameters)
    report(check, fastest(step))


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(x) for x in sys.argv[2:]])
