"""Trainer: many steps of a lifted loss and an optimiser, run natively, epoch after epoch."""

from liftgrad.trainer.checkpoint import Checkpoint
from liftgrad.trainer.history import EpochState, History
from liftgrad.trainer.stopping import EarlyStopping
from liftgrad.trainer.trainer import Trainer

__all__ = ["Checkpoint", "EarlyStopping", "EpochState", "History", "Trainer"]
