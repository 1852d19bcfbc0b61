"""State: a module's parameters as arrays by name, in PyTorch's layout, and back.

Parameters have names such as "layers.0.weight.3.1". Where the ends of such names are the indices
of a rectangular grid, in order, the grid is one array: "layers.0.weight" of shape (out, in).
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from liftgrad.numbers import to_float

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def to_arrays(named: Iterable[tuple[str, Any]]) -> "dict[str, NDArray[np.float64]]":
    """Return the parameters' numbers as arrays by name."""
    import numpy as np  # noqa: PLC0415, slow to import

    return {
        name: np.array([p.data for p in parameters], np.float64).reshape(shape)
        for name, (shape, parameters) in _grids(named).items()
    }


def from_arrays(named: Iterable[tuple[str, Any]], state: Mapping[str, Any]) -> None:
    """Set the parameters' numbers; see `Module.load_state_dict`."""
    if not isinstance(state, Mapping):
        raise TypeError(
            f"a state_dict is a dictionary, and this is a {type(state).__name__}; pass what "
            "state_dict returned."
        )
    grids = _grids(named)
    missing = [name for name in grids if name not in state]
    unknown = [name for name in state if name not in grids]
    if missing or unknown:
        raise ValueError(
            f"this state_dict belongs to another module: it lacks {_some(missing)} and has "
            f"unknown {_some(unknown)}; build the module with the same sizes first."
        )
    numbers: dict[int, tuple[str, Any, float]] = {}
    for name, (shape, parameters) in grids.items():
        try:
            found = _numbers(state[name])
            what = "lists of unequal lengths" if found is None else f"of shape {found[0]}"
        except RecursionError:
            found, what = None, "nested deeply"
        if found is None or found[0] != shape:
            raise ValueError(
                f"{name} in this state_dict is {what} and the module's is of shape {shape}; "
                "build the module with the same sizes first."
            )
        for parameter, number in zip(parameters, found[1], strict=True):
            first, _, known = numbers.setdefault(id(parameter), (name, parameter, number))
            if known != number and not known != known != number != number:  # noqa: PLR0124, two nan
                raise ValueError(
                    f"{first} and {name} are one parameter of this module and differ in this "
                    "state_dict; pass the same numbers for both."
                )
    for _, parameter, number in numbers.values():
        parameter.data = number


def _grids(named: Iterable[tuple[str, Any]]) -> dict[str, tuple[tuple[int, ...], list[Any]]]:
    """Return the shape and the parameters of each array, by name."""
    tree: dict[str, Any] = {}
    for name, parameter in named:
        *path, last = name.split(".")
        branch = tree
        for key in path:
            branch = branch.setdefault(key, {})
            if not isinstance(branch, dict):
                raise _coinciding(name)
        if branch.setdefault(last, parameter) is not parameter:
            raise _coinciding(name)
    result: dict[str, tuple[tuple[int, ...], list[Any]]] = {}

    def visit(branch: dict[str, Any], prefix: str) -> None:
        for key, item in branch.items():
            grid = _grid(item)
            if grid is None:
                visit(item, f"{prefix}{key}.")
            else:
                result[prefix + key] = grid

    visit(tree, "")
    return result


def _coinciding(name: str) -> ValueError:
    return ValueError(
        f"{name} would name two parameters of this module, which a state_dict tells apart by name; "
        "give their attributes, or the keys of their dicts, other names."
    )


def _grid(x: Any) -> tuple[tuple[int, ...], list[Any]] | None:
    """Return the shape and the parameters of a branch of the tree, if it is rectangular."""
    if not isinstance(x, dict):
        return (), [x]
    if any(key != str(i) for i, key in enumerate(x)):
        return None
    inner = [_grid(item) for item in x.values()]
    first = inner[0]
    if first is None or any(grid is None or grid[0] != first[0] for grid in inner):
        return None
    return (len(inner), *first[0]), [p for grid in inner if grid is not None for p in grid[1]]


def _numbers(x: Any) -> tuple[tuple[int, ...], list[float]] | None:
    """Return the shape of an array or nested lists, and the numbers; None if it has no shape.

    Raises:
        TypeError: if something in it is not a number.

    """
    import numpy as np  # noqa: PLC0415, slow to import

    if isinstance(x, np.ndarray) and x.dtype.kind in "fiu":
        return x.shape, x.astype(np.float64).reshape(-1).tolist()
    if not isinstance(x, list | tuple) and hasattr(x, "tolist"):  # such as PyTorch's tensors
        x = x.tolist()
    if not isinstance(x, list | tuple):
        return (), [to_float(x)]
    inner = [_numbers(item) for item in x]
    first = inner[0] if inner else ((), [])
    if first is None or any(item is None or item[0] != first[0] for item in inner):
        return None
    return (len(inner), *first[0]), [n for item in inner if item is not None for n in item[1]]


def _some(names: list[str]) -> str:
    if not names:
        return "nothing"
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
