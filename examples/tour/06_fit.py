"""Training in epochs: validation, a metric, early stopping, a callback, the history as a CSV file.

Three spiral arms are told apart. The callback prints every tenth epoch. The fit ends when the
validation loss has not fallen for 15 epochs, and the parameters of the best epoch are put back: the
validation loss is that of the best epoch again. The last lines are the CSV file's, which is written
to the folder given as argument, or else to a temporary one.
"""

import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from liftgrad import EarlyStopping, Trainer, data, lift, losses, nn, optim, predict, vmap
from liftgrad.functional import mean
from liftgrad.trainer import EpochState

random.seed(0)
X, y = data.make_spirals(600, arms=3, noise=0.05, seed=1)
held = data.make_spirals(200, arms=3, noise=0.05, seed=2)
model = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 3))


@lift
def loss(model: nn.Sequential, X: Any, y: Any) -> Any:
    """Return the mean cross-entropy."""
    return mean(vmap(lambda x, label: losses.cross_entropy(model(x), label))(X, y))


def accuracy(model: nn.Sequential, X: Any, y: Any) -> Any:
    """Return the share of points in the arm with the highest score."""
    return np.mean(predict(model, X).argmax(axis=1) == y)


def report(state: EpochState) -> None:
    """Print every tenth epoch."""
    if state.epoch % 10 == 0:
        print(f"epoch {state.epoch} loss {state.loss:.4f}, validation {state.validation_loss:.4f}")


trainer = Trainer(loss, optim.Adam(model.parameters(), lr=0.02), batch_size=32)
history = trainer.fit(
    500,  # epochs at most; what follows are the loss's arguments
    model,
    X,
    y,
    validation=(model, *held),
    metrics={"accuracy": accuracy},
    early_stopping=EarlyStopping(patience=15),
    callbacks=[report],
)
epochs = history.epochs
best = np.argmin(epochs["validation_loss"])
print(f"stopped after {len(epochs['epoch'])} epochs; the best was {epochs['epoch'][best]}")
then, now = epochs["validation_loss"][best], loss(model, *held).data
print(f"validation then {then:.6f}, now {now:.6f}; accuracy {accuracy(model, *held):.1%}")
with tempfile.TemporaryDirectory() as temporary:
    path = Path(sys.argv[1] if len(sys.argv) > 1 else temporary, "history.csv")
    history.to_csv(path)
    lines = path.read_text().splitlines()
print(f"{len(lines)} lines of CSV:\n{lines[0]}\n{lines[-1]}")
