"""A step of moons networks of any size on any number of points with liftgrad."""

import sys

from common import checksum, fastest, moons, report, set_parameters
from moons_liftgrad import mapped_loss

from liftgrad import Trainer, nn, optim


def main(points: int, sizes: list[int]) -> None:
    """Take steps of gradient descent."""
    model = nn.MLP(sizes[0], sizes[1:])
    parameters = model.parameters()
    set_parameters(parameters, sizes)
    trainer = Trainer(mapped_loss, optim.SGD(parameters, lr=0.01))
    X, y = moons(points)
    trainer.run(5, model, X, y)
    check = checksum(p.data for p in parameters)
    trainer.run(5, model, X, y)
    repeats = max(1, round(1e7 / (points * len(parameters))))
    report(check, fastest(lambda: trainer.run(repeats, model, X, y)) / repeats)


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(x) for x in sys.argv[2:]])
