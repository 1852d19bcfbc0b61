"""Activations as modules, with PyTorch's names; each maps over nested lists of numbers."""

from typing import Any

from liftgrad import functional
from liftgrad.nn.module import Module
from liftgrad.nn.nested import map_numbers, map_rows


class Identity(Module):
    """Returns its input.

    >>> Identity()([1.0, -2.0])
    [1.0, -2.0]
    """

    def forward(self, x: Any) -> Any:
        """Return the input."""
        return x


class ReLU(Module):
    """x where it is positive, else 0.

    >>> ReLU()([[1.0], [-2.0]])
    [[1.0], [0.0]]
    """

    def forward(self, x: Any) -> Any:
        """Return the activation of each number."""
        return map_numbers(functional.relu, x)


class LeakyReLU(Module):
    """x where it is positive, else negative_slope·x.

    >>> LeakyReLU(negative_slope=0.5)([1.0, -2.0])
    [1.0, -1.0]
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Any) -> Any:
        """Return the activation of each number."""
        return map_numbers(lambda v: functional.leaky_relu(v, self.negative_slope), x)

    def extra_repr(self) -> str:
        """Return the slope.

        >>> LeakyReLU(0.2).extra_repr()
        'negative_slope=0.2'
        """
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    """x where it is positive, else alpha·(exp(x) - 1).

    >>> [round(y, 4) for y in ELU()([1.0, -1.0])]
    [1.0, -0.6321]
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Any) -> Any:
        """Return the activation of each number."""
        return map_numbers(lambda v: functional.elu(v, self.alpha), x)

    def extra_repr(self) -> str:
        """Return the scale.

        >>> ELU(0.5).extra_repr()
        'alpha=0.5'
        """
        return f"alpha={self.alpha}"


class GELU(Module):
    """x·Φ(x), with the exact normal distribution Φ.

    >>> [round(y, 4) for y in GELU()([1.0, -1.0])]
    [0.8413, -0.1587]
    """

    def forward(self, x: Any) -> Any:
        """Return the activation of each number."""
        return map_numbers(functional.gelu, x)


class SiLU(Module):
    """x·sigmoid(x).

    >>> [round(y, 4) for y in SiLU()([1.0, -1.0])]
    [0.7311, -0.2689]
    """

    def forward(self, x: Any) -> Any:
        """Return the activation of each number."""
        return map_numbers(functional.silu, x)


class Tanh(Module):
    """The hyperbolic tangent.

    >>> [round(y, 4) for y in Tanh()([0.0, 1.0])]
    [0.0, 0.7616]
    """

    def forward(self, x: Any) -> Any:
        """Return the activation of each number."""
        return map_numbers(functional.tanh, x)


class Sigmoid(Module):
    """1 / (1 + exp(-x)).

    >>> Sigmoid()([0.0, 1000.0])
    [0.5, 1.0]
    """

    def forward(self, x: Any) -> Any:
        """Return the activation of each number."""
        return map_numbers(functional.sigmoid, x)


class Softplus(Module):
    """log(1 + exp(x)).

    >>> [round(y, 4) for y in Softplus()([0.0, 1000.0])]
    [0.6931, 1000.0]
    """

    def forward(self, x: Any) -> Any:
        """Return the activation of each number."""
        return map_numbers(functional.softplus, x)


class Softmax(Module):
    """exp(x[i]) / Σ_j exp(x[j]) within each innermost list: PyTorch's with dim=-1.

    >>> Softmax()([[1.0, 1.0], [0.0, 1000.0]])
    [[0.5, 0.5], [0.0, 1.0]]
    """

    def forward(self, x: Any) -> Any:
        """Return numbers that add up to 1 in each list."""
        return map_rows(functional.softmax, x, "Softmax")


class LogSoftmax(Module):
    """The logarithm of `Softmax`: PyTorch's with dim=-1.

    >>> LogSoftmax()([0.0, -1000.0])
    [0.0, -1000.0]
    """

    def forward(self, x: Any) -> Any:
        """Return the logarithms in each list."""
        return map_rows(functional.log_softmax, x, "LogSoftmax")
