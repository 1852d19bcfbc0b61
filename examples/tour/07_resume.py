"""Interrupted and resumed, a training ends where it would have ended, to the last bit.

One training runs for 40 epochs. Another is interrupted after its 15th, as by Ctrl-C, and leaves a
checkpoint; then a third, made anew as another process would, goes on from there. Prints where it
was interrupted and how far it came, and whether all parameters and losses are the same: True, True.
"""

import random
import signal
import tempfile
from pathlib import Path
from typing import Any

from liftgrad import Checkpoint, Trainer, data, lift, losses, nn, optim, vmap
from liftgrad.functional import mean
from liftgrad.trainer import EpochState

X, y = data.make_circles(200, noise=0.2, seed=0)


@lift
def loss(model: nn.MLP, X: Any, y: Any) -> Any:
    """Return the mean hinge loss."""
    return mean(vmap(lambda x, t: losses.hinge(model(x), t))(X, y))


def make() -> tuple[nn.MLP, Trainer]:
    """Return a model and a trainer, the same at each call."""
    random.seed(0)
    model = nn.MLP(2, [8, 8, 1])
    optimizer = optim.Adam(model.parameters(), lr=optim.cosine(0.02, 0.0, steps=40 * 13))
    return model, Trainer(loss, optimizer, batch_size=16)


def press(state: EpochState) -> None:
    """Do what Ctrl-C does, after the 15th epoch."""
    if state.epoch == 15:
        signal.raise_signal(signal.SIGINT)


model, trainer = make()
whole = trainer.fit(40, model, X, y)

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "run.safetensors"
    other, trainer = make()
    history = trainer.fit(40, other, X, y, checkpoint=Checkpoint(path), callbacks=[press])
    print(history)
    other, trainer = make()
    trainer.load(path)
    history = trainer.fit(40 - len(history.epochs["epoch"]), other, X, y)
    print(history)

pairs = zip(model.parameters(), other.parameters(), strict=True)
print(f"the same parameters: {all(p.data == q.data for p, q in pairs)}")
print(f"the same losses: {history.loss.tolist() == whole.loss.tolist()}")
