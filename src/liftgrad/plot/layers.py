"""A model's layers and arrays of parameters, by name."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.engine import Value
from liftgrad.nn import Module, Neuron


def layers(model: Module) -> dict[str, Module]:
    """Return the innermost modules above neurons, by name; "model" if that is the model itself."""
    return dict(_innermost(model, ""))


def with_outputs(model: Module, note: Callable[[str, Any], Any]) -> Callable[[Any], Any]:
    """Return the model as a function in which `note(name, output)` replaces each layer's output."""
    noting = {id(layer): _Noting(name, layer, note) for name, layer in layers(model).items()}
    observed: Callable[[Any], Any] = _replaced(model, noting)
    return observed


def parameter_arrays(module: Module) -> dict[str, NDArray[Any]]:
    """Return arrays of a module's parameters, by name.

    The neurons of a layer are rows: `layers.0.w` of an `nn.MLP` is (neurons, inputs), and
    `layers.0.b` (neurons,).
    """
    return dict(_arrays(module, ""))


class _Noting(Module):
    """A layer whose outputs pass through a function."""

    def __init__(self, name: str, layer: Any, note: Callable[[str, Any], Any]) -> None:
        self.name, self.layer, self.note = name, layer, note

    def __call__(self, *inputs: Any) -> Any:
        return self.note(self.name, self.layer(*inputs))


def _innermost(module: Module, name: str) -> Iterator[tuple[str, Module]]:
    inner = [item for key, x in vars(module).items() for item in _modules(x, _joined(name, key))]
    for inner_name, x in inner:
        yield from _innermost(x, inner_name)
    if not inner:
        yield name or "model", module


def _modules(x: Any, name: str) -> Iterator[tuple[str, Module]]:
    if isinstance(x, Module) and not isinstance(x, Neuron):
        yield name, x
    for key, item in _items(x):
        yield from _modules(item, _joined(name, key))


def _joined(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)


def _items(x: Any) -> list[tuple[Any, Any]]:
    if isinstance(x, dict):
        return list(x.items())
    return list(enumerate(x)) if isinstance(x, list | tuple) else []


def _replaced(x: Any, noting: dict[int, _Noting]) -> Any:
    """Return a copy of a module or container with some layers replaced."""
    if id(x) in noting:
        return noting[id(x)]
    if isinstance(x, Module):
        copied = copy.copy(x)
        vars(copied).update({name: _replaced(item, noting) for name, item in vars(x).items()})
        return copied
    if isinstance(x, dict):
        return {key: _replaced(item, noting) for key, item in x.items()}
    return [_replaced(item, noting) for item in x] if isinstance(x, list | tuple) else x


def _arrays(x: Any, name: str) -> Iterator[tuple[str, NDArray[Any]]]:
    array = _array(x)
    if array is not None:
        yield name, array
        return
    items = vars(x).items() if isinstance(x, Module) else _items(x)
    neurons = [item for _, item in items if isinstance(item, Neuron)]
    if neurons and len(neurons) == len(items) and len({len(n.w) for n in neurons}) == 1:
        outer = name.rpartition(".")[0]
        yield _joined(outer, "w"), np.array([n.w for n in neurons], dtype=object)
        yield _joined(outer, "b"), np.array([n.b for n in neurons], dtype=object)
        return
    for key, item in items:
        yield from _arrays(item, _joined(name, key))


def _array(x: Any) -> NDArray[Any] | None:
    """Return rectangular nested lists of parameters as an array, and None for anything else."""
    if _is_parameter(x):
        return np.array(x, dtype=object)
    if isinstance(x, np.ndarray) and x.dtype == object:
        x = x.tolist()
    if not isinstance(x, list | tuple) or not x:
        return None
    rows = [_array(row) for row in x]
    first = rows[0]
    if first is None or any(row is None or row.shape != first.shape for row in rows):
        return None
    array = np.empty((len(x), *first.shape), dtype=object)
    for i, row in enumerate(rows):
        array[i] = row if row is not None and row.ndim else x[i]
    return array


def _is_parameter(x: Any) -> bool:
    return isinstance(x, Value) and not x._prev
