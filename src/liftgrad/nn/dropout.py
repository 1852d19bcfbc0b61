"""Dropout: numbers set to zero at random in training."""

from typing import Any

from liftgrad.functional import uniform, where
from liftgrad.nn.module import Module
from liftgrad.nn.nested import map_numbers


class Dropout(Module):
    """0 with probability p, else x / (1 - p), in training; x after `eval()` (Hinton et al., 2012).

    For each number one is drawn from Python's global `random`; seed it with `random.seed(n)`.
    Lifted functions draw at each call, the same numbers in the same order as eager ones.

    >>> import random
    >>> random.seed(1337)
    >>> layer = Dropout(0.5)
    >>> layer([1.0, 1.0, 1.0, 1.0])
    [2.0, 2.0, 0.0, 2.0]
    >>> layer.eval()([1.0, 1.0, 1.0, 1.0])
    [1.0, 1.0, 1.0, 1.0]

    Raises:
        ValueError: if p is not between 0 and 1.

    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"p is a probability from 0 to 1; got p={p}.")
        self.p = p

    def forward(self, x: Any) -> Any:
        """Return the numbers in nested lists of the same shape."""
        if not self.training or self.p == 0.0:
            return x
        return map_numbers(self._dropped, x)

    def _dropped(self, x: Any) -> Any:
        return x * where(uniform(x) < self.p, 0.0, 1.0 / (1.0 - self.p) if self.p < 1.0 else 0.0)

    def extra_repr(self) -> str:
        """Return the probability.

        >>> Dropout(0.5).extra_repr()
        'p=0.5'
        """
        return f"p={self.p}"
