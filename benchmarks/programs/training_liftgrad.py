"""Training to a stated accuracy with liftgrad, the loss as in its README."""

import random
import sys
from typing import Any

import numpy as np
from training import BATCH, SEED, SIZES, data, until_right

from liftgrad import Trainer, functional, init, lift, losses, nn, optim, vmap


@lift(dtype="float32")
def loss(model: nn.MLP, X: Any, y: Any) -> Any:
    """Return the mean cross-entropy of a batch."""
    return functional.mean(vmap(lambda x, t: losses.cross_entropy(model(x), t))(X, y))


@lift(dtype="float32")
def scores(model: nn.MLP, X: Any) -> Any:
    """Return a list of arrays, each with one class's score of each row."""
    return vmap(model)(X)


def main(task: str) -> None:
    """Train to the task's accuracy."""
    X, y, X_test, y_test = data(task)

    def prepare() -> Any:
        random.seed(SEED)
        sizes = SIZES[task]
        model = nn.MLP(sizes[0], sizes[1:], init="xavier")
        for layer in model.layers:
            for neuron in layer.neurons:
                neuron.b.data = init.xavier(len(neuron.w), len(layer.neurons))
        optimizer = optim.Adam(model.parameters(), lr=0.001)
        trainer = Trainer(loss, optimizer, batch_size=BATCH[task], seed=SEED)
        steps = -(-len(X) // BATCH[task])

        def accuracy() -> float:
            return float(np.mean(np.argmax(scores(model, X_test), axis=0) == y_test))

        return lambda: trainer.run(steps, model, X, y), accuracy

    until_right(task, prepare)


if __name__ == "__main__":
    main(sys.argv[1])
