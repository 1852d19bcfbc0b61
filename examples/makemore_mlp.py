"""Names, one letter after another: makemore's MLP (Bengio et al., 2003).

Three letters choose three rows of a table of 10 numbers each; 200 hidden neurons see the 30 and
score the letter that follows. Takes a file with one name a line.
"""

import argparse
import random
import time
from typing import Any

import numpy as np
from names import LETTERS, cut, read, write

from liftgrad import Trainer, Value, functional, lift, nn, optim, vmap

CONTEXT, EMBEDDING = 3, 10


class Model(nn.Module):
    """Embedding, hidden layer and scores."""

    def __init__(self, hidden: int) -> None:
        self.table = [[Value(random.gauss(0.0, 1.0)) for _ in range(EMBEDDING)] for _ in LETTERS]
        sizes = [hidden, len(LETTERS)]
        self.mlp = nn.MLP(CONTEXT * EMBEDDING, sizes, activation="tanh", init="xavier")

    def __call__(self, context: Any) -> Any:
        """Return the scores of the letters that may follow three letters."""
        rows = [functional.take(self.table, context[i]) for i in range(CONTEXT)]
        return self.mlp([x for row in rows for x in row])


@lift(dtype="float32")
def loss(model: Model, contexts: Any, targets: Any) -> Any:
    """Return the mean cross-entropy of the letters that follow."""

    def cost(context: Any, target: Any) -> Any:
        scores = model(context)
        return functional.logsumexp(scores) - functional.take(scores, target)

    return functional.mean(vmap(cost)(contexts, targets))


@lift(dtype="float32")
def following(model: Model, contexts: Any) -> Any:
    """Return the probabilities of the letters that may follow each context."""
    return vmap(lambda context: functional.softmax(model(context)))(contexts)


def examples(words: list[str]) -> tuple[Any, Any]:
    """Return contexts (n, 3) and the letters that follow them (n,), as numbers."""
    padded = ["." * CONTEXT + word + "." for word in words]
    numbers = [[LETTERS.index(letter) for letter in word] for word in padded]
    windows = [row[i : i + CONTEXT + 1] for row in numbers for i in range(len(row) - CONTEXT)]
    table = np.array(windows)
    return table[:, :-1].copy(), table[:, -1].copy()


def main() -> None:
    """Train, and print the validation loss and some names."""
    parser = argparse.ArgumentParser(description="Learn to make names.")
    parser.add_argument("path", help="a text file, one name a line")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--hidden", type=int, default=200, help="how many neurons")
    arguments = parser.parse_args()
    if arguments.steps < 1 or arguments.hidden < 2:
        parser.error("take at least 1 step, with 2 hidden neurons or more.")
    train, validation = (examples(words) for words in cut(read(arguments.path)))

    random.seed(0)
    model = Model(arguments.hidden)
    rate = optim.linear(0.005, 0.0, arguments.steps)
    trainer = Trainer(loss, optim.Adam(model.parameters(), lr=rate), batch_size=128)
    start = time.perf_counter()
    trainer.run(1, model, *train)
    compiled = time.perf_counter()
    trainer.run(arguments.steps - 1, model, *train)
    trained = time.perf_counter()
    print(f"{len(model.parameters())} parameters, {len(train[0])} letters to learn from")
    print(
        f"first step {compiled - start:.2f} s, with compilation; "
        f"{arguments.steps - 1} more {trained - compiled:.2f} s"
    )
    print(f"loss {loss(model, *train).data:.4f}, validation {loss(model, *validation).data:.4f}")
    for _ in range(5):
        print(write(lambda word: following(model, examples([word])[0][-1:])))


if __name__ == "__main__":
    main()
