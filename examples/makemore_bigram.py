"""Names, each letter by the one before it: makemore's bigram as a network of one table.

The best table of scores is known without training, the logarithms of how often each letter follows
each other; what is trained here must come close to it. Takes a file with one name a line.
"""

import argparse
import itertools
import random
import time
from typing import Any

import numpy as np
from names import LETTERS, cut, read, write

from liftgrad import Trainer, Value, functional, lift, optim


@lift
def loss(table: list[list[Value]], counts: Any) -> Any:
    """Return the mean cross-entropy of all pairs of letters, given how often each occurs."""
    surprises = [
        functional.dot(row, [functional.logsumexp(scores) - s for s in scores])
        for scores, row in zip(table, counts, strict=True)
    ]
    return functional.total(surprises)


def pairs(words: list[str]) -> Any:
    """Return how often the second of two letters follows the first: counts (27, 27)."""
    counts = np.zeros((len(LETTERS), len(LETTERS)))
    for word in words:
        for a, b in itertools.pairwise("." + word + "."):
            counts[LETTERS.index(a), LETTERS.index(b)] += 1
    return counts


def best(counts: Any) -> float:
    """Return the least loss there is: the entropy of a letter, given the one before."""
    seen = counts > 0
    chances = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return float(-np.sum(counts[seen] * np.log(chances[seen])) / counts.sum())


def following(table: list[list[Value]], word: str) -> Any:
    """Return the probabilities of the letters after a word's last: (27, 1)."""
    row = table[LETTERS.index(word[-1:] or ".")]
    return np.array(functional.softmax(v.data for v in row))[:, None]


def main() -> None:
    """Train, and print the losses and some names."""
    parser = argparse.ArgumentParser(description="Learn to make names, from pairs of letters.")
    parser.add_argument("path", help="a text file, one name a line")
    parser.add_argument("--steps", type=int, default=2000)
    arguments = parser.parse_args()
    if arguments.steps < 1:
        parser.error("take at least 1 step.")
    words = read(arguments.path)
    train, validation = (pairs(part) for part in cut(words))

    table = [[Value(0.0) for _ in LETTERS] for _ in LETTERS]
    parameters = [v for row in table for v in row]
    trainer = Trainer(loss, optim.Adam(parameters, lr=optim.linear(0.1, 0.0, arguments.steps)))
    start = time.perf_counter()
    trainer.run(arguments.steps, table, train / train.sum())
    seconds = time.perf_counter() - start
    print(f"{arguments.steps} steps in {seconds:.2f} s, with compilation")
    print(
        f"loss {loss(table, train / train.sum()).data:.4f} (the least: {best(train):.4f}), "
        f"validation {loss(table, validation / validation.sum()).data:.4f}"
    )
    random.seed(0)
    for _ in range(5):
        print(write(lambda word: following(table, word)))


if __name__ == "__main__":
    main()
