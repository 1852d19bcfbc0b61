"""Linear and Embedding: a matrix times a vector, and rows of a matrix."""

import random
from typing import Any

from liftgrad.functional import dot, take
from liftgrad.init import pytorch
from liftgrad.nn.checks import check_length, check_size
from liftgrad.nn.module import Module
from liftgrad.nn.nested import map_numbers, map_rows, values
from liftgrad.nn.one_output import OneOutput


class Linear(Module):
    """y[i] = bias[i] + Σ_k weight[i][k]·x[k], PyTorch's `Linear`.

    Weights (out_features, in_features), and biases, are drawn from U(-s, s), s² = 1/in_features.

    >>> layer = Linear(2, 1)
    >>> layer.load_state_dict({"weight": [[2.0, 3.0]], "bias": [0.5]})
    >>> [y.data for y in layer([1.0, 10.0])]
    [32.5]

    Raises:
        ValueError: if a size is not positive, or at a call, if an input has another length.

    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        check_size(in_features, "inputs")
        check_size(out_features, "outputs")
        self.in_features, self.out_features = in_features, out_features

        def draw() -> float:
            return pytorch(in_features, out_features)

        self.weight = values((out_features, in_features), draw)
        self.bias = values((out_features,), draw) if bias else None

    def forward(self, x: Any) -> Any:
        """Return (..., out_features) for inputs (..., in_features)."""
        return map_rows(self._outputs, x, "Linear")

    def _outputs(self, x: list[Any]) -> list[Any]:
        if len(x) != self.in_features:
            check_length(x, self.in_features, f"Linear({self.in_features}, {self.out_features})")
        biases = self.bias or [None] * self.out_features
        outputs = [dot(row, x, start=b) for row, b in zip(self.weight, biases, strict=True)]
        return OneOutput(outputs) if len(outputs) == 1 else outputs

    def extra_repr(self) -> str:
        """Return the arguments.

        >>> Linear(3, 2, bias=False).extra_repr()
        'in_features=3, out_features=2, bias=False'
        """
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Embedding(Module):
    """A row of weights, drawn from N(0, 1), for each index; PyTorch's `Embedding`.

    There is no `padding_idx` or `max_norm`.

    >>> layer = Embedding(2, 3)
    >>> layer.load_state_dict({"weight": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]})
    >>> [x.data for x in layer(1)]
    [4.0, 5.0, 6.0]

    Raises:
        ValueError: if a size is not positive.

    """

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        check_size(num_embeddings, "embeddings")
        check_size(embedding_dim, "numbers in an embedding")
        self.weight = values((num_embeddings, embedding_dim), lambda: random.gauss(0.0, 1.0))

    def forward(self, index: Any) -> Any:
        """Return (..., embedding_dim) for integers (...).

        Raises:
            IndexError: if an integer is not one of 0, ..., num_embeddings - 1.

        """
        try:
            return map_numbers(lambda i: take(self.weight, i), index)
        except (IndexError, TypeError) as error:
            rows, width = len(self.weight), len(self.weight[0])
            raise type(error)(f"Embedding({rows}, {width}): {error}") from None

    def extra_repr(self) -> str:
        """Return the sizes.

        >>> Embedding(27, 10).extra_repr()
        '27, 10'
        """
        return f"{len(self.weight)}, {len(self.weight[0])}"
