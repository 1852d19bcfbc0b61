"""Losses and optimisers compared on one problem: a line through points, some of them spoiled.

The points lie on 2x + 1, but 5 of 50 are 20 too high. Prints the line that each loss leads to: the
mean square is drawn to these points, the absolute loss not, and Huber's, which is smooth, hardly.
Then how small each optimiser makes Huber's loss in 200 steps; 1.94 is the least there is.
Last what a rate does that is too high: the loss explodes, unless the gradients are clipped.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from liftgrad import Trainer, lift, losses, nn, optim, vmap
from liftgrad.functional import mean

STEPS = 200
x = np.linspace(0.0, 10.0, 50)[:, None]
y = 2.0 * x[:, 0] + 1.0
y[::11] += 20.0


def train(name: str, cost: Any, make: Callable[[Any], Any], max_norm: float | None = None) -> None:
    """Print what the optimiser that is made for slope and intercept does from 0x + 0."""

    @lift
    def loss(line: nn.Linear, x: Any, y: Any) -> Any:
        return mean(vmap(lambda point, target: cost(line(point)[0], target))(x, y))

    line = nn.Linear(1, 1)
    line.load_state_dict({"weight": [[0.0]], "bias": [0.0]})
    slope, intercept = line.parameters()
    history = Trainer(loss, make([slope, intercept]), max_norm=max_norm).run(STEPS, line, x, y)
    found = f"{slope.data:.3g}x + {intercept.data:.3g}"
    print(f"{name:17} loss {history.loss[-1]:.4g}, line {found}")


def groups(p: list[Any]) -> list[dict[str, Any]]:
    """Return two groups of parameters: the intercept has a rate of its own."""
    return [{"params": p[:1]}, {"params": p[1:], "lr": 0.5}]


square, huber, fall = losses.mse_loss, losses.huber_loss, optim.cosine(0.5, 0.0, STEPS)
train("mean square", square, lambda p: optim.Adam(p, lr=fall))
train("absolute", losses.l1_loss, lambda p: optim.Adam(p, lr=fall))
train("Huber", huber, lambda p: optim.Adam(p, lr=fall))

train("SGD", huber, lambda p: optim.SGD(p, lr=0.03))
train("SGD, momentum", huber, lambda p: optim.SGD(p, lr=0.03, momentum=0.9))
train("SGD, two groups", huber, lambda p: optim.SGD(groups(p), lr=0.03))
train("RMSprop", huber, lambda p: optim.RMSprop(p, lr=0.03))
train("Adam", huber, lambda p: optim.Adam(p, lr=0.03))
train("Adam, one cycle", huber, lambda p: optim.Adam(p, lr=optim.one_cycle(0.5, STEPS)))

hasty = optim.linear(0.1, 0.0, STEPS)
train("too high a rate", square, lambda p: optim.SGD(p, lr=hasty))
train("the same, clipped", square, lambda p: optim.SGD(p, lr=hasty), max_norm=10.0)
