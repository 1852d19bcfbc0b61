"""The digits of digits.py by a small convolution.

Twelve windows of 3x3 pixels slide over the 8x8 picture, padded to 10x10, two pixels at a time;
their 4x4 maps go into 32 neurons and those into 10 scores.
"""

import argparse
import random
import time
from typing import Any

import numpy as np
from digits import load, shifted

from liftgrad import Trainer, functional, lift, nn, optim, vmap

SIZE, WINDOW, STRIDE = 10, 3, 2


class Model(nn.Module):
    """Convolution, hidden layer and scores."""

    def __init__(self, maps: int) -> None:
        self.windows = nn.Layer(WINDOW**2, maps, activation="tanh", init="xavier")
        places = (SIZE - WINDOW) // STRIDE + 1
        self.mlp = nn.MLP(maps * places**2, [32, 10], activation="tanh", init="xavier")

    def __call__(self, picture: Any) -> Any:
        """Return the scores of a picture's classes."""
        places = range(0, SIZE - WINDOW + 1, STRIDE)
        cuts = [
            [picture[i + a][j + b] for a in range(WINDOW) for b in range(WINDOW)]
            for i in places
            for j in places
        ]
        return self.mlp([x for cut in cuts for x in self.windows(cut)])


@lift(dtype="float32")
def loss(model: Model, X: Any, y: Any) -> Any:
    """Return the mean cross-entropy."""

    def cost(picture: Any, label: Any) -> Any:
        return -functional.take(functional.log_softmax(model(picture)), label)

    return functional.mean(vmap(cost)(X, y))


@lift(dtype="float32")
def scores(model: Model, X: Any) -> Any:
    """Return a list of 10 arrays, each with one score for each picture."""
    return vmap(model)(X)


def padded(X: Any) -> Any:
    """Return pictures (n, 64) as (n, 10, 10) with a border of zeros."""
    return np.pad(X.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))


def main() -> None:
    """Train, and print the accuracy on the test pictures."""
    parser = argparse.ArgumentParser(description="Tell digits apart by a convolution.")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--maps", type=int, default=12, help="how many windows")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.epochs < 1 or arguments.maps < 2:
        parser.error("train for at least 1 epoch, with 2 maps or more.")
    X, y, X_test, y_test = load()
    X, y, X_test = padded(shifted(X)), np.tile(y, 5), padded(X_test)

    random.seed(arguments.seed)
    model = Model(arguments.maps)
    steps = arguments.epochs * -(-len(X) // 32)
    # Activation, weight decay and maps did best in cross-validation within the training pictures.
    optimizer = optim.Adam(
        model.parameters(), lr=optim.linear(0.005, 0.0, steps), weight_decay=5e-4
    )
    trainer = Trainer(loss, optimizer, batch_size=32, seed=arguments.seed)
    start = time.perf_counter()
    trainer.run(1, model, X, y)
    compiled = time.perf_counter()
    trainer.run(steps - 1, model, X, y)
    trained = time.perf_counter()
    print(
        f"first step {compiled - start:.2f} s, with compilation; "
        f"{steps - 1} more {trained - compiled:.2f} s"
    )
    right = np.argmax(scores(model, X_test), axis=0) == y_test
    print(f"accuracy on test pictures {right.mean():.2%}")


if __name__ == "__main__":
    main()
