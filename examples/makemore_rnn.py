"""Names by a recurrent network: makemore's RNN (Mikolov et al., 2010).

Each letter chooses a row of a table; 64 neurons see it and their own last outputs, and score the
letter that follows. Names are padded to one length. Takes a file with one name a line.
"""

import argparse
import random
import time
from typing import Any

import numpy as np
from names import LETTERS, cut, read, write

from liftgrad import Trainer, Value, functional, lift, nn, optim, vmap

EMBEDDING = 16


class Model(nn.Module):
    """Embedding, recurrent layer and scores."""

    def __init__(self, hidden: int) -> None:
        self.table = [[Value(random.gauss(0.0, 1.0)) for _ in range(EMBEDDING)] for _ in LETTERS]
        self.first = [Value(0.0) for _ in range(hidden)]
        self.cell = nn.Layer(EMBEDDING + hidden, hidden, activation="tanh", init="xavier")
        self.head = nn.Layer(hidden, len(LETTERS), nonlin=False, init="xavier")

    def __call__(self, letters: Any) -> list[list[Any]]:
        """Return the scores of what follows each letter, given it and those before it."""
        state, scores = self.first, []
        for i in range(len(letters)):
            state = self.cell([*functional.take(self.table, letters[i]), *state])
            scores.append(self.head(state))
        return scores


@lift(dtype="float32")
def loss(model: Model, letters: Any, targets: Any, weights: Any) -> Any:
    """Return the mean over names of the weighted cross-entropies of their letters."""

    def cost(letters: Any, targets: Any, weights: Any) -> Any:
        surprises = [
            functional.logsumexp(scores) - functional.take(scores, targets[i])
            for i, scores in enumerate(model(letters))
        ]
        return functional.dot(surprises, weights)

    return functional.mean(vmap(cost)(letters, targets, weights))


@lift(dtype="float32")
def scores_of(model: Model, letters: Any) -> Any:
    """Return the scores of the letters after each letter, given those before."""
    return vmap(model)(letters)


def examples(words: list[str], length: int) -> tuple[Any, Any, Any]:
    """Return names (n, length), what follows each letter, and each letter's weight.

    A letter's weight is 0 behind a name's end, else such that all letters count alike and the
    mean over names of the weighted sums is a mean over letters.

    """
    ends = np.array([len(word) + 1 for word in words])
    rows = [("." + word).ljust(length + 1, ".") for word in words]
    table = np.array([[LETTERS.index(letter) for letter in row] for row in rows])
    weights = (np.arange(length) < ends[:, None]) * (len(words) / ends.sum())
    return table[:, :-1].copy(), table[:, 1:].copy(), weights.astype(np.float32)


def main() -> None:
    """Train, and print the validation loss and some names."""
    parser = argparse.ArgumentParser(description="Learn to make names, with a recurrent network.")
    parser.add_argument("path", help="a text file, one name a line")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--hidden", type=int, default=64, help="how many neurons")
    arguments = parser.parse_args()
    if arguments.steps < 2 or arguments.hidden < 2:
        parser.error("take at least 2 steps, with 2 hidden neurons or more.")
    words = read(arguments.path)
    length = max(map(len, words)) + 1
    train, validation = (examples(part, length) for part in cut(words))

    random.seed(0)
    model = Model(arguments.hidden)
    rate = optim.linear(0.01, 0.0, arguments.steps)
    trainer = Trainer(loss, optim.Adam(model.parameters(), lr=rate), batch_size=64)
    start = time.perf_counter()
    trainer.run(1, model, *train)
    compiled = time.perf_counter()
    rest = trainer.run(arguments.steps - 1, model, *train)
    trained = time.perf_counter()
    print(f"{len(model.parameters())} parameters, {len(train[0])} names to learn from")
    print(
        f"first step {compiled - start:.2f} s, with compilation; "
        f"{arguments.steps - 1} more {trained - compiled:.2f} s"
    )
    print(
        f"loss {np.mean(rest.loss[-100:]):.4f} in the last 100 steps, "
        f"validation {loss(model, *validation).data:.4f}"
    )

    def following(word: str) -> Any:
        word = word[: length - 1]
        scores = scores_of(model, examples([word], length)[0])[len(word)]
        return np.array(functional.softmax(float(s[0]) for s in scores))[:, None]

    for _ in range(5):
        print(write(following))


if __name__ == "__main__":
    main()
