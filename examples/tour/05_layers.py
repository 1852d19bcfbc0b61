"""PyTorch's layers, and weights in PyTorch's shapes: a convolution that tells bars apart.

The pictures have 6x6 pixels, noise, and a bar that lies or stands. Prints the parameters' names and
shapes, and the share of new pictures seen right: before training, after it, and with weights made
by hand and loaded as a state_dict. That of such a `torch.nn.Sequential` loads as well.
"""

import random
from typing import Any

import numpy as np

from liftgrad import Trainer, lift, losses, nn, optim, predict, vmap
from liftgrad.functional import mean


def pictures(count: int, seed: int) -> tuple[Any, Any]:
    """Return pictures (count, 1, 6, 6) and their classes: 0, the bar lies; 1, it stands."""
    draw = np.random.default_rng(seed)
    X, y = draw.normal(scale=0.3, size=(count, 1, 6, 6)), draw.integers(0, 2, count)
    for picture, stands in zip(X[:, 0], y, strict=True):
        (picture.T if stands else picture)[draw.integers(1, 5), 1:5] += 1.0
    return X, y


@lift
def loss(model: nn.Sequential, X: Any, y: Any) -> Any:
    """Return the mean cross-entropy."""
    return mean(vmap(lambda x, label: losses.cross_entropy(model(x), label))(X, y))


X, y = pictures(500, seed=1)


def report(name: str) -> None:
    """Print the share of new pictures that are seen right."""
    print(f"{name:9} {np.mean(predict(model, X).argmax(axis=1) == y):.1%}")


random.seed(0)
model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(2, 2))
for name, array in model.state_dict().items():
    print(f"{name:9} {array.shape}")
report("untrained")
trainer = Trainer(loss, optim.Adam(model.parameters(), lr=0.02), batch_size=50)
trainer.fit(30, model, *pictures(500, seed=0))
report("trained")

bar = np.array([[-1, -1, -1], [2, 2, 2], [-1, -1, -1]], np.float32)
windows, zeros = np.stack([bar, bar.T])[:, None], np.zeros(2)
model.load_state_dict(
    {"0.weight": windows, "0.bias": zeros, "4.weight": np.eye(2), "4.bias": zeros}
)
report("by hand")
