"""Neuron, Layer and MLP: micrograd's modules."""

from collections.abc import Callable, Sequence
from typing import Any

from liftgrad import functional
from liftgrad.engine import Value
from liftgrad.errors import LiftgradError
from liftgrad.functional import dot
from liftgrad.init import INITIALISERS, Initialiser
from liftgrad.nn.checks import check_name, check_sample, check_size
from liftgrad.nn.module import Module
from liftgrad.nn.printing import in_brackets
from liftgrad.numbers import kind_of

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    name: getattr(functional, name)
    for name in (
        *("relu", "leaky_relu", "elu", "gelu", "silu"),
        *("tanh", "sigmoid", "softplus", "sin", "exp"),
    )
}
_REFUSALS = (TypeError, ValueError, LiftgradError)
"""Errors that an input of the wrong length or nesting may raise, also in a lifted function."""
_SPELLING = {"relu": "ReLU", "elu": "ELU", "gelu": "GELU", "silu": "SiLU"}


class Neuron(Module):
    """act(b + w[0]·x[0] + w[1]·x[1] + ...).

    >>> neuron = Neuron(2)
    >>> neuron.load_state_dict({"w": [1.0, -2.0], "b": 0.5})
    >>> neuron([3.0, 1.0]).data
    1.5

    Args:
        nin: how many inputs.
        nonlin: whether the activation is applied.
        activation: a name from `ACTIVATIONS`.
        init: a name from `liftgrad.init.INITIALISERS` or a function (fan_in, fan_out) -> number.
        fan_out: the number of neurons in the layer, for the initialiser.

    Raises:
        ValueError: if a size is not positive or a name unknown.

    """

    def __init__(
        self,
        nin: int,
        nonlin: bool = True,
        activation: str = "relu",
        init: str | Initialiser = "uniform",
        fan_out: int = 1,
    ) -> None:
        check_size(nin, "inputs")
        check_name(activation, ACTIVATIONS, "activation")
        if isinstance(init, str):
            check_name(init, INITIALISERS, "initialiser")
        draw = INITIALISERS[init] if isinstance(init, str) else init
        self.w = [Value(draw(nin, fan_out)) for _ in range(nin)]
        self.b = Value(0)
        self.nonlin = nonlin
        self.activation = activation

    def forward(self, x: Sequence[Any]) -> Any:
        """Return the activation for the inputs `x`, numbers or Values."""
        if x.__class__ is not list and getattr(x, "ndim", 1) > 1:
            # The tracer would refuse it with a sentence that says less.
            check_sample(x, len(self.w), f"Neuron({len(self.w)})")
        try:
            act = dot(self.w, x, start=self.b)
        except _REFUSALS:
            check_sample(x, len(self.w), f"Neuron({len(self.w)})")
            raise
        return ACTIVATIONS[self.activation](act) if self.nonlin else act

    def __repr__(self) -> str:
        kind = _SPELLING.get(self.activation, self.activation.title().replace("_", ""))
        return f"{kind if self.nonlin else 'Linear'}Neuron({len(self.w)})"


class Layer(Module):
    """`nout` neurons that see the same `nin` inputs; further arguments are `Neuron`'s.

    >>> len(Layer(2, 3)([1.0, -1.0]))
    3
    """

    def __init__(self, nin: int, nout: int, **kwargs: Any) -> None:
        check_size(nout, "neurons")
        self.neurons = [Neuron(nin, **{"fan_out": nout, **kwargs}) for _ in range(nout)]

    def forward(self, x: Sequence[Any]) -> Any:
        """Return the neurons' outputs: a list, or the one output of a single neuron."""
        try:
            out = [n(x) for n in self.neurons]
        except _REFUSALS:
            if isinstance(self.neurons[0], Neuron):
                inputs = len(self.neurons[0].w)
                check_sample(x, inputs, f"Layer({inputs}, {len(self.neurons)})")
            raise
        return out[0] if len(out) == 1 else out

    def __repr__(self) -> str:
        return f"Layer of {in_brackets([str(n) for n in self.neurons])}"


class MLP(Module):
    """Layers in sequence, the last one linear.

    >>> model = MLP(2, [16, 1])
    >>> len(model.parameters())
    65
    >>> score = model([0.5, -1.0])
    >>> score.backward()
    >>> model.layers[-1].neurons[0].b.grad
    1.0

    Args:
        nin: how many inputs.
        nouts: how many neurons in each layer.
        activation: of the hidden neurons, a name from `ACTIVATIONS`.
        init: as for `Neuron`.

    """

    def __init__(
        self,
        nin: int,
        nouts: Sequence[int],
        activation: str = "relu",
        init: str | Initialiser = "uniform",
    ) -> None:
        if not isinstance(nouts, Sequence):
            raise TypeError(
                f"nouts is a list of each layer's size, and this is {kind_of(nouts)}; pass a list "
                "such as [16, 1]."
            )
        if not nouts:
            raise ValueError("an MLP needs at least one layer; pass sizes such as [16, 1].")
        sizes = [nin, *nouts]
        self.layers = [
            Layer(a, b, nonlin=i != len(nouts) - 1, activation=activation, init=init)
            for i, (a, b) in enumerate(zip(sizes, nouts, strict=False))
        ]

    def forward(self, x: Any) -> Any:
        """Return the last layer's output for the inputs `x`, numbers or Values."""
        given = x
        try:
            for layer in self.layers:
                # A layer of one neuron returns a number, not a list.
                x = layer(x if hasattr(x, "__len__") else [x])
        except _REFUSALS:
            if all(isinstance(layer, Layer) for layer in self.layers):
                inputs = len(self.layers[0].neurons[0].w)
                sizes = [len(layer.neurons) for layer in self.layers]
                given = given if hasattr(given, "__len__") else [given]
                check_sample(given, inputs, f"MLP({inputs}, {sizes})")
            raise
        return x

    def __repr__(self) -> str:
        return f"MLP of {in_brackets([str(layer) for layer in self.layers])}"
