"""Causal self-attention and the Transformer block."""

import math
from collections.abc import Sequence
from typing import Any

from liftgrad.functional import dot, softmax
from liftgrad.init import xavier
from liftgrad.nn.activation import GELU, ReLU
from liftgrad.nn.checks import check_length, check_name, check_size
from liftgrad.nn.dropout import Dropout
from liftgrad.nn.linear import Linear
from liftgrad.nn.module import Module
from liftgrad.nn.nested import sample, values
from liftgrad.nn.normalization import LayerNorm

Vector = list[Any]
_ACTIVATIONS: dict[str, type[GELU | ReLU]] = {"gelu": GELU, "relu": ReLU}


class CausalSelfAttention(Module):
    """For each position the mean of the values up to it, weighted by the softmax of query·key.

    Result, `state_dict` and initial distributions are those of PyTorch's `MultiheadAttention` of a
    sequence with itself under a causal mask (Vaswani et al., 2017): `in_proj_weight`
    (3·embed_dim, embed_dim) makes queries, keys and values, and `out_proj` mixes the heads.

    >>> attention = CausalSelfAttention(4, num_heads=2)
    >>> outputs = attention([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    >>> len(outputs), len(outputs[0])
    (2, 4)

    Args:
        embed_dim: the length of each position's vector.
        num_heads: how many slices of it attend independently.
        dropout: the probability of each attention weight to be dropped in training.
        bias: whether both projections have biases.

    Raises:
        ValueError: if a size is not positive, the heads do not divide `embed_dim` or `dropout` is
            not a probability, or at a call, if a position has another length.

    """

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True
    ) -> None:
        check_size(embed_dim, "numbers at a position")
        check_size(num_heads, "heads")
        if embed_dim % num_heads:
            raise ValueError(
                f"{num_heads} heads do not divide {embed_dim} numbers; pass a number that does."
            )
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.in_proj_weight = values(
            (3 * embed_dim, embed_dim), lambda: xavier(embed_dim, 3 * embed_dim)
        )
        self.in_proj_bias = values((3 * embed_dim,), lambda: 0.0) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias)
        for b in self.out_proj.bias or ():
            b.data = 0.0
        self.dropout = Dropout(dropout)

    def forward(self, x: Sequence[Any]) -> list[Vector]:
        """Return (length, embed_dim) for a sequence (length, embed_dim)."""
        rows = sample(x, "CausalSelfAttention", "length", "embed_dim")
        if not rows:
            return []
        queries, keys, values = zip(*map(self._projected, rows), strict=True)
        return self.out_proj(  # type: ignore[no-any-return]
            [
                self._attended(query, keys[: i + 1], values[: i + 1])
                for i, query in enumerate(queries)
            ]
        )

    def _projected(self, x: Vector) -> tuple[Vector, Vector, Vector]:
        """Return the query, the key and the value of a position."""
        width = self.embed_dim
        check_length(x, width, "CausalSelfAttention", "numbers at each position")
        biases = self.in_proj_bias or [None] * (3 * width)
        rows = zip(self.in_proj_weight, biases, strict=True)
        projected = [dot(row, x, start=b) for row, b in rows]
        return projected[:width], projected[width : 2 * width], projected[2 * width :]

    def _attended(self, query: Vector, keys: Sequence[Vector], values: Sequence[Vector]) -> Vector:
        size = self.embed_dim // self.num_heads
        attended = []
        for start in range(0, self.embed_dim, size):
            part = slice(start, start + size)
            scores = [dot(query[part], key[part]) / math.sqrt(size) for key in keys]
            weights = self.dropout(softmax(scores))
            attended += [
                dot(weights, [value[j] for value in values]) for j in range(start, start + size)
            ]
        return attended

    def extra_repr(self) -> str:
        """Return the sizes.

        >>> CausalSelfAttention(4, num_heads=2).extra_repr()
        '4, num_heads=2'
        """
        return f"{self.embed_dim}, num_heads={self.num_heads}"


class TransformerBlock(Module):
    """Causal attention, then a perceptron, each on normalised numbers and added to its input.

    A block of GPT-2, as in nanoGPT: x = x + attention(norm1(x)), and then
    x + linear2(activation(linear1(norm2(x)))). Result and `state_dict` are those of PyTorch's
    `TransformerEncoderLayer(norm_first=True)` under a causal mask.

    >>> block = TransformerBlock(4, nhead=2)
    >>> outputs = block([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    >>> len(outputs), len(outputs[0]), len(block.parameters())
    (2, 4, 244)

    Args:
        d_model: the length of each position's vector.
        nhead: how many heads attend.
        dim_feedforward: how many hidden neurons the perceptron has; None: 4·d_model.
        dropout: the probability, in training, of dropping each attention weight, hidden neuron
            and number that is added to x.
        activation: "gelu" or "relu".
        bias: whether there are biases.

    Raises:
        ValueError: if a size is not positive, the heads do not divide `d_model`, `dropout` is not a
            probability or the activation is unknown.

    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int | None = None,
        dropout: float = 0.0,
        activation: str = "gelu",
        bias: bool = True,
    ) -> None:
        check_name(activation, _ACTIVATIONS, "activation")
        hidden = 4 * d_model if dim_feedforward is None else dim_feedforward
        self.self_attn = CausalSelfAttention(d_model, nhead, dropout, bias)
        self.linear1 = Linear(d_model, hidden, bias)
        self.activation = _ACTIVATIONS[activation]()
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(hidden, d_model, bias)
        self.norm1 = LayerNorm(d_model, bias=bias)
        self.norm2 = LayerNorm(d_model, bias=bias)

    def forward(self, x: Sequence[Any]) -> list[Vector]:
        """Return (length, d_model) for a sequence (length, d_model)."""
        x = sample(x, "TransformerBlock", "length", "d_model")
        if not x:
            return []
        x = _added(x, self.dropout(self.self_attn(self.norm1(x))))
        hidden = self.dropout(self.activation(self.linear1(self.norm2(x))))
        return _added(x, self.dropout(self.linear2(hidden)))


def _added(x: Sequence[Vector], y: Sequence[Vector]) -> list[Vector]:
    return [[a + b for a, b in zip(p, q, strict=True)] for p, q in zip(x, y, strict=True)]
