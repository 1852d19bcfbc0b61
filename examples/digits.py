"""Handwritten digits of 8x8 pixels, told apart by a network of 64-32-10.

The data is scikit-learn's (1797 digits); every fifth is kept for the test.
"""

import argparse
import random
import sys
import time
from typing import Any

import numpy as np

from liftgrad import Trainer, functional, lift, nn, optim, vmap


@lift(dtype="float32")
def loss(model: nn.MLP, X: Any, y: Any) -> Any:
    """Return the mean cross-entropy."""

    def cost(x: Any, label: Any) -> Any:
        return -functional.take(functional.log_softmax(model(x)), label)

    return functional.mean(vmap(cost)(X, y))


@lift(dtype="float32")
def scores(model: nn.MLP, X: Any) -> Any:
    """Return a list of 10 arrays, each with one score for each picture."""
    return vmap(model)(X)


def accuracy(model: nn.MLP, X: Any, y: Any) -> float:
    """Return the share of pictures whose highest score is that of their label."""
    return float(np.mean(np.argmax(scores(model, X), axis=0) == y))


def load() -> tuple[Any, Any, Any, Any]:
    """Return pictures (n, 64) and labels (n,) to train with, and others to test with."""
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415, explained when missing
    except ImportError:
        sys.exit("The digits come with scikit-learn, which is missing: pip install scikit-learn")
    X, y = load_digits(return_X_y=True)
    X, y = (X / 16.0).astype(np.float32), y.astype(np.int64)
    test = np.arange(len(X)) % 5 == 0
    return X[~test], y[~test], X[test], y[test]


def main() -> None:
    """Train, and print the accuracy on the test pictures."""
    parser = argparse.ArgumentParser(description="Tell digits apart.")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    X, y, X_test, y_test = load()

    random.seed(arguments.seed)
    model = nn.MLP(64, [32, 10], init="he")
    steps_of_epoch = -(-len(X) // 32)
    steps = arguments.epochs * steps_of_epoch
    optimizer = optim.Adam(model.parameters(), lr=optim.linear(0.01, 0.0, steps), weight_decay=1e-4)
    trainer = Trainer(loss, optimizer, batch_size=32, seed=arguments.seed)

    start = time.perf_counter()
    trainer.run(0, model, X, y)
    compiled = time.perf_counter()
    history = trainer.run(steps, model, X, y)
    trained = time.perf_counter()
    print(f"loss {history.loss[0]:.3f} -> {np.mean(history.loss[-steps_of_epoch:]):.5f}")
    print(f"compiled in {compiled - start:.2f} s, {steps} steps in {trained - compiled:.2f} s")
    print(f"accuracy {accuracy(model, X, y):.2%}, on test pictures "
          f"{accuracy(model, X_test, y_test):.2%}")


if __name__ == "__main__":
    main()
