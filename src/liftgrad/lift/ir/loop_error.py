"""The error by which a program with loops over time goes back to its unrolled form."""

from liftgrad.errors import LiftError


class LoopError(LiftError):
    """A pass cannot do something for a loop over time; the program is compiled without it."""
