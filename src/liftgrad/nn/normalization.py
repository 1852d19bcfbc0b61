"""LayerNorm and RMSNorm: normalisation over the last dimension."""

import sys
from typing import Any

from liftgrad.functional import mean
from liftgrad.nn.checks import check_length, check_size
from liftgrad.nn.module import Module
from liftgrad.nn.nested import map_rows, values


class LayerNorm(Module):
    """weight[i]·(x[i] - mean(x)) / sqrt(variance(x) + eps) + bias[i] (Ba et al., 2016).

    PyTorch's `LayerNorm` over the last dimension, of `normalized_shape` numbers. The variance is
    the biased one; weights start at 1 and biases at 0.

    >>> [round(y.data, 3) for y in LayerNorm(2)([1.0, 3.0])]
    [-1.0, 1.0]

    Raises:
        ValueError: if the size is not positive, or at a call, if an input has another length.

    """

    def __init__(
        self,
        normalized_shape: int,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        check_size(normalized_shape, "numbers to normalise")
        self.normalized_shape, self.eps = normalized_shape, eps
        self.weight = values((normalized_shape,), lambda: 1.0) if elementwise_affine else None
        self.bias = (
            values((normalized_shape,), lambda: 0.0) if elementwise_affine and bias else None
        )

    def forward(self, x: Any) -> Any:
        """Return (..., normalized_shape) for inputs of that shape."""
        return map_rows(self._normalised, x, type(self).__name__)

    def _normalised(self, x: list[Any]) -> list[Any]:
        check_length(x, self.normalized_shape, "LayerNorm", "numbers")
        center = mean(x)
        centered = [number - center for number in x]
        scale = (mean([number * number for number in centered]) + self.eps) ** -0.5
        result = [number * scale for number in centered]
        if self.weight is not None:
            result = [w * number for w, number in zip(self.weight, result, strict=True)]
        if self.bias is not None:
            result = [number + b for b, number in zip(self.bias, result, strict=True)]
        return result

    def extra_repr(self) -> str:
        """Return the arguments.

        >>> LayerNorm(4).extra_repr()
        '4, eps=1e-05, elementwise_affine=True'
        """
        affine = self.weight is not None
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={affine}"


class RMSNorm(Module):
    """weight[i]·x[i] / sqrt(mean(x²) + eps) (Zhang & Sennrich, 2019).

    PyTorch's `RMSNorm` over the last dimension, of `normalized_shape` numbers. Weights start at 1;
    without `eps`, it is float64's machine epsilon, as in PyTorch for float64.

    >>> [round(y.data, 3) for y in RMSNorm(2)([3.0, 4.0])]
    [0.849, 1.131]

    Raises:
        ValueError: if the size is not positive, or at a call, if an input has another length.

    """

    def __init__(
        self, normalized_shape: int, eps: float | None = None, elementwise_affine: bool = True
    ) -> None:
        check_size(normalized_shape, "numbers to normalise")
        self.normalized_shape, self.eps = normalized_shape, eps
        self.weight = values((normalized_shape,), lambda: 1.0) if elementwise_affine else None

    def forward(self, x: Any) -> Any:
        """Return (..., normalized_shape) for inputs of that shape."""
        return map_rows(self._normalised, x, type(self).__name__)

    def _normalised(self, x: list[Any]) -> list[Any]:
        check_length(x, self.normalized_shape, "RMSNorm", "numbers")
        eps = sys.float_info.epsilon if self.eps is None else self.eps
        scale = (mean([number * number for number in x]) + eps) ** -0.5
        result = [number * scale for number in x]
        if self.weight is None:
            return result
        return [w * number for w, number in zip(self.weight, result, strict=True)]

    def extra_repr(self) -> str:
        """Return the arguments.

        >>> RMSNorm(4).extra_repr()
        '4, eps=None, elementwise_affine=True'
        """
        affine = self.weight is not None
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={affine}"
