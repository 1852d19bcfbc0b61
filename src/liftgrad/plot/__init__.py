"""Pictures for print, made with matplotlib, which is imported for the first of them."""

from liftgrad.plot.decision_boundary import DecisionBoundary, decision_boundary
from liftgrad.plot.decision_regions import DecisionRegions, decision_regions
from liftgrad.plot.saving import check_path, save

__all__ = [
    "DecisionBoundary",
    "DecisionRegions",
    "check_path",
    "decision_boundary",
    "decision_regions",
    "save",
]
