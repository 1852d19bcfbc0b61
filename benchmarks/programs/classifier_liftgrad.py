"""Classifiers with liftgrad in float32: the digits, and wide layers on pictures."""

import sys
from typing import Any

import numpy as np
from common import DIGITS, WIDE, checksum, digits, fastest, pictures, report, set_parameters

from liftgrad import Trainer, functional, lift, nn, optim, vmap


@lift(dtype="float32")
def loss(model: nn.MLP, X: Any, y: Any) -> Any:
    """Return the mean cross-entropy of a batch."""

    def cost(x: Any, label: Any) -> Any:
        return -functional.take(functional.log_softmax(model(x)), label)

    return functional.mean(vmap(cost)(X, y))


@lift(dtype="float32")
def scores(model: nn.MLP, X: Any) -> Any:
    """Return the classes' scores."""
    return vmap(model)(X)


def main(task: str) -> None:
    """Run one task: digits (an epoch of Adam) or wide (a step of SGD)."""
    sizes = DIGITS if task == "digits" else WIDE
    model = nn.MLP(sizes[0], sizes[1:])
    parameters = model.parameters()
    set_parameters(parameters, sizes)
    if task == "wide":
        X, y = pictures()
        trainer = Trainer(loss, optim.SGD(parameters, lr=0.01))
        trainer.run(10, model, X, y)
        check = checksum(p.data for p in parameters)
        report(check, fastest(lambda: trainer.run(20, model, X, y)) / 20)
        return
    X, y = digits()
    trainer = Trainer(loss, optim.Adam(parameters), batch_size=64)
    for _ in range(20):
        trainer.run(28, model, X, y)
    right = np.argmax(scores(model, X), axis=0) == y
    report(right.mean(), fastest(lambda: trainer.run(28, model, X, y)))


if __name__ == "__main__":
    main(sys.argv[1])
