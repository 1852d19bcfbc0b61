"""Networks as scalar programs: micrograd's Module, Neuron, Layer and MLP, with PyTorch's API.

>>> import random
>>> random.seed(0)
>>> model = MLP(2, [3, 1])
>>> model
MLP of [Layer of [ReLUNeuron(2), ReLUNeuron(2), ReLUNeuron(2)], Layer of [LinearNeuron(3)]]
>>> len(model.parameters())
13
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

from liftgrad import functional
from liftgrad.engine import Value
from liftgrad.functional import dot
from liftgrad.init import INITIALISERS, Initialiser
from liftgrad.numbers import to_float
from liftgrad.operators import Operators

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    name: getattr(functional, name)
    for name in (
        *("relu", "leaky_relu", "elu", "gelu", "silu"),
        *("tanh", "sigmoid", "softplus", "sin", "exp"),
    )
}
_SPELLING = {"relu": "ReLU", "elu": "ELU", "gelu": "GELU", "silu": "SiLU"}


class Module:
    """Anything with parameters, which are the leaf Values among its attributes.

    They are found through lists, tuples, dicts and other Modules, in the order in which the
    attributes were set.

    """

    training: bool = True
    """Whether `train()` or `eval()` was called last."""

    def named_parameters(self) -> Iterator[tuple[str, Any]]:
        """Yield (name, parameter) with names such as "layers.0.neurons.2.w.1", each once."""
        seen: set[int] = set()
        for name, parameter in _leaves(vars(self), ""):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self) -> list[Any]:
        """Return all parameters."""
        return [parameter for _, parameter in self.named_parameters()]

    def zero_grad(self) -> None:
        """Set every parameter's gradient to zero."""
        for parameter in self.parameters():
            parameter.grad = 0.0

    def state_dict(self) -> dict[str, float]:
        """Return the parameters' numbers by name."""
        return {name: parameter.data for name, parameter in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Set the parameters' numbers from a `state_dict`.

        Raises:
            ValueError: if names are missing or unknown; nothing is changed then.
            TypeError: if something is not a number; nothing is changed then.

        """
        parameters = dict(self.named_parameters())
        missing = [name for name in parameters if name not in state]
        unknown = [name for name in state if name not in parameters]
        if missing or unknown:
            raise ValueError(
                f"this state_dict belongs to another module: it lacks {_some(missing)} and has "
                f"unknown {_some(unknown)}; build the module with the same sizes first."
            )
        numbers = {name: to_float(number) for name, number in state.items()}
        for name, parameter in parameters.items():
            parameter.data = numbers[name]

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all inside it to training; return it."""
        for module in _modules(self):
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch this module and all inside it to evaluation; return it."""
        return self.train(mode=False)


class Neuron(Module):
    """act(b + w[0]·x[0] + w[1]·x[1] + ...).

    Args:
        nin: how many inputs.
        nonlin: whether the activation is applied.
        activation: a name from `ACTIVATIONS`.
        init: a name from `liftgrad.init.INITIALISERS` or a function (fan_in, fan_out) -> number.
        fan_out: the number of neurons beside this one, for initialisers that ask.

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
        _check_size(nin, "inputs")
        _check_name(activation, ACTIVATIONS, "activation")
        if isinstance(init, str):
            _check_name(init, INITIALISERS, "initialiser")
        draw = INITIALISERS[init] if isinstance(init, str) else init
        self.w = [Value(draw(nin, fan_out)) for _ in range(nin)]
        self.b = Value(0)
        self.nonlin = nonlin
        self.activation = activation

    def __call__(self, x: Sequence[Any]) -> Any:
        """Return the activation for the inputs `x`, numbers or Values."""
        act = dot(self.w, x, start=self.b)
        return ACTIVATIONS[self.activation](act) if self.nonlin else act

    def __repr__(self) -> str:
        kind = _SPELLING.get(self.activation, self.activation.title().replace("_", ""))
        return f"{kind if self.nonlin else 'Linear'}Neuron({len(self.w)})"


class Layer(Module):
    """`nout` neurons that see the same `nin` inputs; further arguments are `Neuron`'s."""

    def __init__(self, nin: int, nout: int, **kwargs: Any) -> None:
        _check_size(nout, "neurons")
        self.neurons = [Neuron(nin, **{"fan_out": nout, **kwargs}) for _ in range(nout)]

    def __call__(self, x: Sequence[Any]) -> Any:
        """Return the neurons' outputs: a list, or the one output of a single neuron."""
        out = [n(x) for n in self.neurons]
        return out[0] if len(out) == 1 else out

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(str(n) for n in self.neurons)}]"


class MLP(Module):
    """Layers one after another, the last one linear.

    Args:
        nin: how many inputs.
        nouts: how many neurons in each layer.
        activation: what the hidden neurons apply, a name from `ACTIVATIONS`.
        init: as for `Neuron`.

    """

    def __init__(
        self,
        nin: int,
        nouts: Sequence[int],
        activation: str = "relu",
        init: str | Initialiser = "uniform",
    ) -> None:
        if not nouts:
            raise ValueError("an MLP needs at least one layer; pass sizes such as [16, 1].")
        sizes = [nin, *nouts]
        self.layers = [
            Layer(a, b, nonlin=i != len(nouts) - 1, activation=activation, init=init)
            for i, (a, b) in enumerate(zip(sizes, nouts, strict=False))
        ]

    def __call__(self, x: Any) -> Any:
        """Return the last layer's output for the inputs `x`, numbers or Values."""
        for layer in self.layers:
            # A layer of one neuron hands on its number without a list around it.
            x = layer(x if hasattr(x, "__len__") else [x])
        return x

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(str(layer) for layer in self.layers)}]"


def _leaves(x: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(x, Operators):  # a Value, or its stand-in while a function is lifted
        if not x._prev:  # a stored result is not a parameter
            yield name, x
        return
    if isinstance(x, Module):
        # Through the method, so that a class may say itself what its parameters are.
        for inner, parameter in x.named_parameters():
            yield f"{name}.{inner}", parameter
        return
    if isinstance(x, list | tuple):
        x = dict(enumerate(x))
    if isinstance(x, dict):
        for key, item in x.items():
            yield from _leaves(item, f"{name}.{key}" if name else str(key))


def _modules(x: Any) -> Iterator[Module]:
    if isinstance(x, Module):
        yield x
        x = vars(x)
    for item in x.values() if isinstance(x, dict) else x if isinstance(x, list | tuple) else ():
        yield from _modules(item)


def _check_size(size: int, what: str) -> None:
    if size < 1:
        raise ValueError(f"a layer cannot have {size} {what}; pass 1 or more.")


def _check_name(name: str, table: Mapping[str, Any], what: str) -> None:
    if name not in table:
        raise ValueError(f"there is no {what} called {name!r}; choose from {', '.join(table)}.")


def _some(names: list[str]) -> str:
    if not names:
        return "nothing"
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
