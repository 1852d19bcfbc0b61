"""Programs: the lifted loss and outputs, shared by estimators of one structure."""

import functools
from collections.abc import Callable
from typing import Any

from liftgrad import functional, nn
from liftgrad.lift.function import LiftedFunction, lift
from liftgrad.lift.stand_ins.vmap import vmap


@functools.lru_cache(maxsize=64)
def programs(
    cost: Callable[[Any, Any], Any], _sizes: tuple[int, ...], _activation: str, dtype: Any
) -> tuple[LiftedFunction, LiftedFunction]:
    """Return the lifted loss and outputs for a structure; only recent ones are kept."""

    @lift(dtype=dtype)
    def loss(model: nn.MLP, X: Any, y: Any, weights: Any, decay: Any) -> Any:
        if weights is None:
            costs = vmap(lambda x, target: cost(model(x), target))(X, y)
            share = 1.0 / functional.total(vmap(lambda _: 1.0)(X))
        else:
            costs = vmap(lambda x, target, weight: weight * cost(model(x), target))(X, y, weights)
            weight = functional.total(vmap(lambda weight: weight)(weights))
            # All rows of a batch may have the weight 0.
            share = functional.where(weight > 0.0, 1.0 / weight, 0.0)
        slopes = [w for layer in model.layers for neuron in layer.neurons for w in neuron.w]
        return share * (functional.total(costs) + decay * functional.dot(slopes, slopes))

    @lift(dtype=dtype)
    def outputs(model: nn.MLP, X: Any) -> Any:
        return vmap(model)(X)

    return loss, outputs
