"""Pictures for print, made with matplotlib, which is imported when the first one is drawn.

Each function computes something, draws it on `ax=` or on a new figure, and returns it with `ax_`
(or `axes_`, if there are several) and `figure_`, for `save`:

- `decision_boundary`: the score of two classes in the plane;
- `decision_regions`: any number of classes, of two features or many;
- `BoundaryAnimation`: these regions while training, as a GIF;
- `training_curves`: loss and other quantities by step or epoch;
- `confusion_matrix`: how often each class is predicted as each;
- `predicted_against_true`: predicted numbers against true ones;
- `weights`: those of each layer, as heat maps or images;
- `distributions`: of activations or gradients, by layer;
- `loss_landscape`: the loss around a solution.

>>> matrix = confusion_matrix([0, 1, 1], [0, 1, 0])
>>> matrix.accuracy, matrix.ax_.get_ylabel()
(0.6666666666666666, 'true class')
"""

from liftgrad.plot.animation import BoundaryAnimation
from liftgrad.plot.confusion_matrix import ConfusionMatrix, confusion_matrix
from liftgrad.plot.decision_boundary import DecisionBoundary, decision_boundary
from liftgrad.plot.decision_regions import DecisionRegions, decision_regions
from liftgrad.plot.distributions import Distributions, distributions
from liftgrad.plot.loss_landscape import LossLandscape, loss_landscape
from liftgrad.plot.predicted_against_true import PredictedAgainstTrue, predicted_against_true
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
    "PredictedAgainstTrue",
    "TrainingCurves",
    "Weights",
    "check_path",
    "confusion_matrix",
    "decision_boundary",
    "decision_regions",
    "distributions",
    "loss_landscape",
    "predicted_against_true",
    "save",
    "training_curves",
    "weights",
]
