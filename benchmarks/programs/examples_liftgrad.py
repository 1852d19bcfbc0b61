"""Programs of examples/ that go forward in time, each with its compilation."""

import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import QUICK, clock, report

from liftgrad import Trainer, Value, optim

sys.path.append(str(Path(__file__).parents[2] / "examples"))

import makemore_rnn
import pendulum


def network() -> Callable[[], float]:
    """Return what trains makemore's recurrent network for 2,000 steps, on made-up names."""
    count, length, hidden = (40, 4, 4) if QUICK else (32_000, 16, 64)
    draw = random.Random(0)
    sizes = [draw.randint(2, length - 1) for _ in range(count)]
    names = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=size)) for size in sizes]
    data = makemore_rnn.examples(names, length)
    random.seed(0)
    model = makemore_rnn.Model(hidden)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    trainer = Trainer(makemore_rnn.loss, optimizer, batch_size=min(64, count))
    return lambda: float(trainer.run(10 if QUICK else 2000, model, *data).loss[-1])


def swinging() -> Callable[[], float]:
    """Return what takes the first step of the pendulum's fit."""
    random.seed(0)
    record = pendulum.measure(20 if QUICK else 300)
    parameters = [Value(1.0), Value(0.0)]
    trainer = Trainer(pendulum.loss, optim.Adam(parameters, lr=0.02))
    return lambda: float(np.sum(trainer.run(1, parameters, record).loss))


def main(task: str) -> None:
    """Measure one task: rnn or pendulum."""
    run = network() if task == "rnn" else swinging()
    start = clock()
    loss = run()
    report(loss, clock() - start)


if __name__ == "__main__":
    main(sys.argv[1])
