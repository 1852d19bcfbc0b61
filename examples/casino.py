"""When was the die loaded? A hidden Markov model, and its likelihood by the forward algorithm.

In Durbin et al., Biological Sequence Analysis (1998), a casino changes now and then from a fair die
to one that shows a six every second time, and back. Who only sees the rolls can still tell how
often: the forward algorithm adds up the probabilities of all paths through the two dice, and its
gradient leads to the model that makes the rolls most likely.
"""

import argparse
import time
from typing import Any

import numpy as np

from liftgrad import Trainer, Value, functional, lift, nn, optim, vmap
from liftgrad.functional import log_softmax, logsumexp, softmax, take

STAY = (0.95, 0.90)
"""How probable it is that the fair die is kept for the next roll, and the loaded one."""
FACES = ((1 / 6,) * 6, (0.1,) * 5 + (0.5,))
"""How probable the faces of both are."""


class Casino(nn.Module):
    """Scores whose softmax are probabilities: of keeping a die or changing it, and of the faces."""

    def __init__(self) -> None:
        self.moves = [[Value(1.0), Value(0.0)] for _ in STAY]
        # The die that will be called loaded has some more sixes from the start.
        self.faces = [[Value(0.0) for _ in die] for die in FACES]
        self.faces[1][-1].data = 1.0


def surprise(model: Casino, rolls: Any) -> Any:
    """Return the negative log-likelihood of an evening's rolls, 0 to 5.

    The forward algorithm: `forward[i]` is the logarithm of the probability of all rolls so far, and
    that die i is the one in use. Which die begins, a coin decides.

    """
    (keep_fair, load), (keep_loaded, unload) = [log_softmax(row) for row in model.moves]
    faces = [log_softmax(row) for row in model.faces]
    forward = [np.log(0.5) + take(die, rolls[0]) for die in faces]
    for t in range(1, len(rolls)):
        fair, loaded = forward
        forward = [
            logsumexp([fair + keep_fair, loaded + unload]) + take(faces[0], rolls[t]),
            logsumexp([fair + load, loaded + keep_loaded]) + take(faces[1], rolls[t]),
        ]
    return -logsumexp(forward)


@lift
def loss(model: Casino, evenings: Any) -> Any:
    """Return the mean surprise of a roll."""
    costs = vmap(lambda rolls: surprise(model, rolls))(evenings)
    return functional.mean(costs) / len(evenings[0])


def play(evenings: int, rolls: int, seed: int) -> Any:
    """Return the rolls of so many evenings, (evenings, rolls)."""
    generator = np.random.default_rng(seed)
    seen = np.empty((evenings, rolls), int)
    die = generator.integers(0, 2, evenings)
    sums = np.cumsum(FACES, axis=1)
    for t in range(rolls):
        seen[:, t] = (generator.uniform(size=(evenings, 1)) > sums[die]).sum(axis=1)
        die ^= generator.uniform(size=evenings) > np.array(STAY)[die]
    return seen


def main() -> None:
    """Learn the casino's habits from its rolls, and print them beside the truth."""
    parser = argparse.ArgumentParser(description="Find out a casino's loaded die.")
    parser.add_argument("--rolls", type=int, default=300, help="in an evening")
    parser.add_argument("--evenings", type=int, default=100)
    arguments = parser.parse_args()
    if arguments.rolls < 2 or arguments.evenings < 1:
        parser.error("roll at least twice, on at least 1 evening.")
    evenings = play(arguments.evenings, arguments.rolls, seed=0)
    model = Casino()
    rate = optim.linear(0.05, 0.0, steps=500)
    trainer = Trainer(loss, optim.Adam(model.parameters(), lr=rate))

    start = time.perf_counter()
    trainer.run(1, model, evenings)
    compiled = time.perf_counter()
    trainer.run(499, model, evenings)
    trained = time.perf_counter()
    for name, moves, faces, stay, truth in zip(
        ("fair", "loaded"), model.moves, model.faces, STAY, FACES, strict=True
    ):
        kept, six = softmax(moves)[0].data, softmax(faces)[-1].data
        print(f"{name:6} die: kept {kept:.3f}, in truth {stay}; six {six:.3f}, {truth[-1]:.3f}")
    print(f"surprise of a roll {loss(model, evenings).data:.5f}")
    print(
        f"first step {compiled - start:.2f} s, with compilation; "
        f"{(trained - compiled) / 499 * 1e3:.2f} ms each of 499 more"
    )


if __name__ == "__main__":
    main()
