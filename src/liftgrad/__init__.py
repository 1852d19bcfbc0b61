"""Write the network on single numbers. Run it at tensor speed. See every step between."""

from liftgrad import functional, nn
from liftgrad.engine import Value

__all__ = ["Value", "functional", "nn"]
__version__ = "0.1.0"
