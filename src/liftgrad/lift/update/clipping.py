"""Clipping: `optim.clip_grad_norm_` and `clip_grad_value_` as groups of a training step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liftgrad.lift.differentiation.symbol import Symbol
from liftgrad.lift.ir.groups import Builder, Largest, Runs, Sum, View, identity
from liftgrad.ops import divide, sqrt, where
from liftgrad.optim.clip import clipped, norm_factor


@dataclass(frozen=True, slots=True)
class Clipping:
    """How gradients are clipped before each step; None: not clipped."""

    max_norm: float | None = None
    clip_value: float | None = None

    def apply(
        self, builder: Builder, gradients: Sequence[View], held: Sequence[View]
    ) -> list[View]:
        """Return the gradients, clipped.

        Args:
            builder: takes the groups.
            gradients: of all parameters, in groups.
            held: of the parameters that the optimiser holds, whose norm counts.

        """
        symbols = [Symbol(builder, view) for view in gradients]
        if self.clip_value is not None:
            symbols = [clipped(g, self.clip_value) for g in symbols]
        if self.max_norm is not None and held:
            norm = _norm([Symbol(builder, view) for view in held])
            factor = norm_factor(norm, self.max_norm)
            symbols = [g * _repeated(factor, len(g.view.positions)) for g in symbols]
        return [g.view for g in symbols]


def _norm(gradients: list[Symbol]) -> Symbol:
    """Return the 2-norm, in units of the largest element so that squares do not overflow."""
    builder = gradients[0].builder
    group = builder.add(Largest(_runs([abs(g) for g in gradients]), batched=False))
    largest = Symbol(builder, View(group, identity(1)))
    unit = where((largest > 0.0) & (largest < math.inf), largest, 1.0)
    shares = [divide(g, _repeated(unit, len(g.view.positions))) for g in gradients]
    group = builder.add(Sum(_runs([x * x for x in shares]), batched=False))
    result: Symbol = unit * sqrt(Symbol(builder, View(group, identity(1))))
    return result


def _runs(symbols: list[Symbol]) -> tuple[Runs, ...]:
    """Return all elements of the symbols as operands of one sum."""
    return tuple(
        Runs(s.view.group, s.view.positions, np.array([0, len(s.view.positions)])) for s in symbols
    )


def _repeated(symbol: Symbol, size: int) -> Symbol:
    """Return a symbol of one element as one of `size` equal elements."""
    return Symbol(symbol.builder, View(symbol.view.group, np.repeat(symbol.view.positions, size)))
