"""Module: anything with parameters; how it finds, names, saves and loads them."""

import reprlib
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from liftgrad.nn.printing import abridged
from liftgrad.nn.state import from_arrays, to_arrays
from liftgrad.operators import Operators

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from liftgrad.engine import Value


class Module:
    """Anything with parameters, which are the leaf Values among its attributes.

    They are found through lists, tuples, deques, dicts, NumPy arrays of objects and other Modules,
    in the order in which the attributes were set. A module takes one sample; a batch is a loop over
    samples, or `vmap`.

    A subclass defines `forward`, as in PyTorch, or `__call__`.

    >>> from liftgrad import nn
    >>> class Doubled(nn.Linear):
    ...     def forward(self, x):
    ...         return [2.0 * y for y in super().forward(x)]
    >>> layer = Doubled(1, 1)
    >>> layer.load_state_dict({"weight": [[3.0]], "bias": [1.0]})
    >>> layer([5.0])[0].data
    32.0

    >>> from liftgrad import Value, nn
    >>> class Line(nn.Module):
    ...     def __init__(self):
    ...         self.slope, self.offset = Value(2.0), Value(1.0)
    ...
    ...     def __call__(self, x):
    ...         return self.slope * x + self.offset
    >>> Line()(3.0).data
    7.0
    >>> [name for name, _ in Line().named_parameters()]
    ['slope', 'offset']
    """

    training: bool = True
    """Whether `train()` or `eval()` was called last."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        inherited: Any = super(cls, cls)
        # A user's own __call__ may do something around forward(), and is kept.
        same = inherited.__call__ in (Module.__call__, getattr(inherited, "forward", None))
        if "forward" in vars(cls) and "__call__" not in vars(cls) and same:
            setattr(cls, "__call__", vars(cls)["forward"])  # noqa: B010, mypy's method-assign

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return what `forward` returns.

        Raises:
            TypeError: if its class has no `forward`.

        """
        forward = getattr(self, "forward", None)
        if forward is None:
            raise TypeError(
                f"{type(self).__name__} does not say what calling it does; write a method "
                "forward(self, x)."
            )
        return forward(*arguments, **named)

    def named_parameters(self) -> Iterator[tuple[str, "Value"]]:
        """Yield (name, parameter) with names such as "layers.0.neurons.2.w.1", each once.

        >>> from liftgrad import nn
        >>> [name for name, _ in nn.Neuron(2).named_parameters()]
        ['w.0', 'w.1', 'b']
        """
        names: list[str] = []
        leaves: list[Any] = []
        _leaves(vars(self), "", names, leaves)
        seen: set[int] = set()
        for name, parameter in zip(names, leaves, strict=True):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self) -> "list[Value]":
        """Return all parameters.

        >>> from liftgrad import nn
        >>> len(nn.Linear(3, 2).parameters())
        8
        """
        return [parameter for _, parameter in self.named_parameters()]

    def zero_grad(self) -> None:
        """Set every parameter's gradient to zero.

        >>> from liftgrad import nn
        >>> layer = nn.Linear(2, 1)
        >>> layer([1.0, 2.0])[0].backward()
        >>> [p.grad for p in layer.parameters()]
        [1.0, 2.0, 1.0]
        >>> layer.zero_grad()
        >>> [p.grad for p in layer.parameters()]
        [0.0, 0.0, 0.0]
        """
        for parameter in self.parameters():
            parameter.grad = 0.0

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """Yield (name, module) for the direct submodules, those in lists and dicts included.

        >>> from liftgrad import nn
        >>> [name for name, _ in nn.Sequential(nn.Linear(2, 1), nn.ReLU()).named_children()]
        ['0', '1']
        """
        seen: set[int] = set()
        for name, module in _inner_modules(vars(self), ""):
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator["Module"]:
        """Yield the direct submodules.

        >>> from liftgrad import nn
        >>> list(nn.Sequential(nn.Flatten(), nn.ReLU()).children())
        [Flatten(), ReLU()]
        """
        for _, module in self.named_children():
            yield module

    def named_modules(self) -> Iterator[tuple[str, "Module"]]:
        """Yield (name, module) for this module, called "", and all its submodules, each once.

        >>> from liftgrad import nn
        >>> [name for name, _ in nn.Sequential(nn.Sequential(nn.ReLU())).named_modules()]
        ['', '0', '0.0']
        """
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [("", self)]
        while stack:
            name, module = stack.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield name, module
            inner = [(f"{name}.{n}" if name else n, m) for n, m in module.named_children()]
            stack += reversed(inner)

    def modules(self) -> Iterator["Module"]:
        """Yield this module and all its submodules, each once.

        >>> from liftgrad import nn
        >>> sum(isinstance(m, nn.Neuron) for m in nn.MLP(2, [4, 1]).modules())
        5
        """
        for _, module in self.named_modules():
            yield module

    def state_dict(self) -> "dict[str, NDArray[np.float64]]":
        """Return the parameters as float64 arrays by name, in PyTorch's layout.

        A list of Values becomes an array (n,), lists of such lists of one length an array (m, n),
        and a single Value an array of shape (). A parameter with two names appears twice.

        >>> from liftgrad import nn
        >>> {name: x.shape for name, x in nn.Sequential(nn.Linear(3, 2)).state_dict().items()}
        {'0.weight': (2, 3), '0.bias': (2,)}

        """
        return to_arrays(_named(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the parameters from a `state_dict` of arrays, numbers or nested lists.

        >>> from liftgrad import nn
        >>> layer = nn.Linear(2, 1)
        >>> layer.load_state_dict({"weight": [[2.0, 3.0]], "bias": [0.5]})
        >>> [p.data for p in layer.parameters()]
        [2.0, 3.0, 0.5]

        Raises:
            ValueError: if names are missing or unknown, a shape differs, or two names of one
                parameter disagree; nothing is changed then.
            TypeError: if it is not a dictionary, or something in it is not a number; nothing is
                changed then.

        """
        from_arrays(_named(self), state)

    def train(self, mode: bool = True) -> Self:
        """Switch this module and its submodules to training mode, and return it.

        >>> from liftgrad import nn
        >>> nn.Sequential(nn.Dropout(0.5)).train()[0].training
        True
        """
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch this module and its submodules to evaluation mode, and return it.

        >>> from liftgrad import nn
        >>> nn.Sequential(nn.Dropout(0.5)).eval()([1.0, 2.0])
        [1.0, 2.0]
        """
        return self.train(mode=False)

    def extra_repr(self) -> str:
        """Return the text in the parentheses of the module's repr, before its submodules.

        >>> from liftgrad import nn
        >>> nn.Linear(3, 2).extra_repr()
        'in_features=3, out_features=2, bias=True'
        """
        return ""

    @reprlib.recursive_repr()
    def __repr__(self) -> str:
        inner = abridged([(name, repr(module)) for name, module in self.named_children()])
        extra, name = self.extra_repr(), type(self).__name__
        if not inner:
            return f"{name}({extra})"
        return "\n".join([f"{name}(", *([f"  {extra}"] if extra else []), *inner, ")"])


def _leaves(x: Any, name: str, names: list[str], leaves: list[Any]) -> None:
    """Append the names and parameters in a module or container, repeated ones included.

    Not a generator: each level of nested generators would be resumed for every parameter. And two
    lists, since a list of pairs would keep the garbage collector busy.
    """
    if isinstance(x, Module) and type(x).named_parameters is not Module.named_parameters:
        # Through the method, so that a class may define its parameters itself.
        for inner, parameter in x.named_parameters():
            names.append(f"{name}.{inner}")
            leaves.append(parameter)
        return
    for inner, item in _items(vars(x) if isinstance(x, Module) else x, name):
        if not isinstance(item, Operators):
            _leaves(item, inner, names, leaves)
        # A leaf: a Value, or its stand-in while a function is lifted.
        elif not item._prev:  # type: ignore[attr-defined]
            names.append(inner)
            leaves.append(item)


def _named(x: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (name, parameter) for every name of each parameter."""
    dot = f"{name}." if name else ""
    if isinstance(x, Module) and type(x).named_parameters is not Module.named_parameters:
        for inner, parameter in x.named_parameters():
            yield dot + inner, parameter
    elif isinstance(x, Operators):
        if not x._prev:  # type: ignore[attr-defined]
            yield name, x
    else:
        for inner, item in _items(vars(x) if isinstance(x, Module) else x, name):
            yield from _named(item, inner)


def _inner_modules(x: Any, name: str) -> Iterator[tuple[str, Module]]:
    if isinstance(x, Module):
        yield name, x
    else:
        for inner, item in _items(x, name):
            yield from _inner_modules(item, inner)


def _items(x: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the items of a list, tuple, deque, dict or array of objects, with names."""
    if isinstance(x, _SEQUENCES):
        x = dict(enumerate(x))
    elif getattr(x, "dtype", None) == "O":
        x = dict(enumerate(x.tolist() if x.ndim else [x.item()]))
    if isinstance(x, dict):
        for key, item in x.items():
            yield (f"{name}.{key}" if name else str(key)), item


_SEQUENCES = (list, tuple, deque)
