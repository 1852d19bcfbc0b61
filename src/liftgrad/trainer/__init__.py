"""Trainer: many steps of a lifted loss and an optimiser, run natively, epoch after epoch.

>>> import numpy as np
>>> from liftgrad import Value, lift, optim, vmap
>>> from liftgrad.functional import mean
>>> @lift
... def loss(w, x, y):
...     return mean(vmap(lambda a, b: (w[0] * a - b) ** 2)(x, y))
>>> w, x = [Value(0.0)], np.linspace(-1.0, 1.0, 50)
>>> trainer = Trainer(loss, optim.SGD(w, lr=0.1), batch_size=10)
>>> history = trainer.fit(40, w, x, 3.0 * x, validation=0.2)
>>> round(w[0].data, 2), list(history.table())
(3.0, ['epoch', 'step', 'loss', 'validation_loss', 'lr', 'seconds'])
"""

from liftgrad.trainer.checkpoint import Checkpoint
from liftgrad.trainer.history import EpochState, History
from liftgrad.trainer.prediction import predict
from liftgrad.trainer.stopping import EarlyStopping
from liftgrad.trainer.trainer import Trainer

__all__ = ["Checkpoint", "EarlyStopping", "EpochState", "History", "Trainer", "predict"]
