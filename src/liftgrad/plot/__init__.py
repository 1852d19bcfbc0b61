"""Pictures for print, made with matplotlib, which is imported for the first of them."""

from liftgrad.plot.animation import BoundaryAnimation
from liftgrad.plot.confusion_matrix import ConfusionMatrix, confusion_matrix
from liftgrad.plot.decision_boundary import DecisionBoundary, decision_boundary
from liftgrad.plot.decision_regions import DecisionRegions, decision_regions
from liftgrad.plot.distributions import Distributions, distributions
from liftgrad.plot.loss_landscape import LossLandscape, loss_landscape
from liftgrad.plot.saving import check_path, save
from liftgrad.plot.training_curves import TrainingCurves, training_curves
from liftgrad.plot.weights import Weights, weights

__all__ = [
    "BoundaryAnimation",
    "ConfusionMatrix",
    "DecisionBoundary",
    "DecisionRegions",
    "Distributions",
    "LossLandscape",
    "TrainingCurves",
    "Weights",
    "check_path",
    "confusion_matrix",
    "decision_boundary",
    "decision_regions",
    "distributions",
    "loss_landscape",
    "save",
    "training_curves",
    "weights",
]
