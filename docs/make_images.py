"""Makes the pictures in docs/images, but for that of the README's first command.

`pip install scikit-learn && python docs/make_images.py` takes 10 s.
"""

import random
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from sklearn.datasets import load_digits

from liftgrad import Trainer, functional, lift, losses, nn, optim, plot, vmap

IMAGES = Path(__file__).parent / "images"


@lift
def loss(model: nn.MLP, X: Any, y: Any) -> Any:
    """Return the mean cross-entropy."""
    return functional.mean(vmap(lambda x, t: losses.cross_entropy(model(x), t))(X, y))


@lift
def scores(model: nn.MLP, X: Any) -> Any:
    """Return a list of arrays, one for each class."""
    return vmap(model)(X)


def spirals(arms: int = 3, points: int = 100) -> tuple[Any, Any]:
    """Return the points of a number of spiral arms, and which arm each is on."""
    noise = np.random.default_rng(0).normal(scale=0.15, size=(arms, points))
    radius = np.linspace(0.05, 1.0, points)
    angle = 4.0 * radius + 2.0 * np.pi / arms * np.arange(arms)[:, None] + noise
    X = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return X.reshape(-1, 2), np.repeat(np.arange(arms), points)


def draw_spirals() -> None:
    """Draw three classes, while a network learns them and after."""
    X, y = spirals()
    random.seed(0)
    model = nn.MLP(2, [16, 16, 3], activation="tanh", init="xavier")
    trainer = Trainer(loss, optim.Adam(model.parameters(), lr=0.02))
    film = plot.BoundaryAnimation(model, X, y, resolution=50, size=(3.1, 3.1))
    film.capture("step 0")
    for step in range(15, 301, 15):
        history = trainer.run(15, model, X, y)
        film.capture(f"step {step}, loss {history.loss[-1]:.3f}")
    film.save(IMAGES / "spirals.gif", dpi=75)

    figure = Figure((8.6, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot.decision_regions(model, X, y, ax=left, class_names=["a", "b", "c"])
    plot.loss_landscape(loss, model, X, y, ax=right, resolution=61)
    plot.save(figure, IMAGES / "spirals.png", dpi=100)


def draw_digits() -> None:
    """Draw what a network for handwritten digits has learnt."""
    X, y = load_digits(return_X_y=True)
    X, y = X / 16.0, y.astype(np.int64)
    test = np.arange(len(X)) % 5 == 0
    random.seed(0)
    model = nn.MLP(64, [32, 10], init="xavier")
    optimizer = optim.Adam(model.parameters(), lr=optim.linear(0.01, 0.0, 800), weight_decay=3e-4)
    trainer = Trainer(loss, optimizer, batch_size=64)
    history = trainer.run(800, model, X[~test], y[~test])

    figure = Figure((10.0, 7.6), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
    axes = figure.subplots(2, 2)
    plot.decision_regions(model, X[test], y[test], ax=axes[0, 0])
    predicted = np.argmax(scores(model, X[test]), axis=0)
    plot.confusion_matrix(y[test], predicted, ax=axes[0, 1])
    plot.training_curves(history, ax=axes[1, 0])
    plot.weights(model, ax=axes[1, 1], layer="layers.0", image_shape=(8, 8))
    plot.save(figure, IMAGES / "digits.png", dpi=72)

    layers = plot.distributions(model, X[test], y[test], of="activations")
    plot.save(layers.figure_, IMAGES / "activations.png", dpi=90)


if __name__ == "__main__":
    draw_spirals()
    draw_digits()
