"""Write the network on single numbers. Run it at tensor speed. See every step between."""

from liftgrad import functional, nn
from liftgrad.engine import Value
from liftgrad.gradcheck import gradcheck

__all__ = ["Value", "functional", "gradcheck", "nn"]
__version__ = "0.1.0"
