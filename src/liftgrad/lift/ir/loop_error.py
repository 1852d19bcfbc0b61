"""The error for a loop over time that a pass cannot take."""

from liftgrad.errors import LiftError


class LoopError(LiftError):
    """A pass cannot do this with a loop over time; the program without loops goes the road."""
