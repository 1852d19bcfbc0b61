"""Unchanged: a lifted function may not change what it was given, since a repeated call would not.

The function runs once, on copies; what it appended to a list or assigned to an attribute there
would be lost, and missing in the next call. So it is refused, with one exception: modules that note
down what they computed (`self.out = ...`). An attribute that an object did not have before cannot
have been read before it was set, so no result depends on it, and it goes with the copy.

Not all is a copy: the user's methods, and functions of other modules, see what they see eagerly.
Of that, what was changed is put back.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from operator import is_
from types import CellType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from liftgrad.errors import TraceError
from liftgrad.lift.call.classes import has_users_attributes
from liftgrad.lift.capture.reachable import Named, attributes_of, reach
from liftgrad.lift.stand_ins.arrays import TracedArray
from liftgrad.lift.stand_ins.batch import Batch
from liftgrad.lift.stand_ins.values import Condition
from liftgrad.lift.user_code import user_line
from liftgrad.operators import Operators
from liftgrad.optim import Optimizer


class Copies:
    """Containers, objects and variables, by the names that the user has for them.

    The variables of a module, a dict, have no name of their own: "".
    """

    def __init__(self, named: Iterable[Named]) -> None:
        self.before = [(name, x, _contents(x)) for name, x in named]

    def check(self) -> None:
        """Raise TraceError if one of them is not as it was."""
        for name, x, before in self.before:
            if not _same(_contents(_without_notes(x, before)), before):
                if isinstance(x, dict) and not name:
                    known = _by_name(before)
                    name = next(key for key in x if known.get(key, self) is not x[key])  # noqa: PLW2901
                raise _changed(user_line(), name)


class Originals:
    """What the function may change in earnest, since there is no copy of it.

    Args:
        spaces: the variables of modules and of functions, as dicts, and classes.
        known: variables of closures, and what variables stand for.
        mentioned: the names in the function's code, and in that which it calls.

    """

    def __init__(
        self, spaces: Iterable[Any], known: Iterable[Named], mentioned: Iterable[str]
    ) -> None:
        self.spaces = [(space, dict(_variables(space))) for space in spaces]
        self.reached = list(reach(known))
        """All that it can get at from there."""
        self.named = [(name, x, _contents(x)) for name, x in self.reached if _is_container(x)]
        # Objects of libraries have caches that may change: only what is traced must not stay.
        objects = [x.__dict__ for _, x in self.reached if _is_librarys(x)]
        self.others = [(attributes, dict(attributes)) for attributes in objects]
        optimizers = [x for _, x in self.reached if isinstance(x, Optimizer)]
        self.parameters = [(p, p.data, p.grad) for x in optimizers for p in x.params]
        states = [{name: list(column) for name, column in x.state.items()} for x in optimizers]
        self.steps = [(x, x.steps, state) for x, state in zip(optimizers, states, strict=True)]
        self.mentioned = frozenset(mentioned)
        self.changed: str | None = None
        """The name of something that was not what it was."""
        if optimizers and not self.mentioned.isdisjoint(("step", "zero_grad")):
            self.changed = "its parameters"  # gradients that are zero already do not show it

    def put_back(self) -> None:
        """Make all of it what it was."""
        for space, before in self.spaces:
            after = _variables(space)
            if len(after) == len(before) and all(map(is_, after.values(), before.values())):
                continue
            for name in [*after, *before]:
                value, known = after.get(name, _ABSENT), before.get(name, _ABSENT)
                if value is not known and self._is_meant(name, value):
                    self.changed = name
                    _bind(space, name, known)
        for attributes, before in self.others:
            new = [n for n, x in attributes.items() if _traced(x) and x is not before.get(n)]
            for name in new:
                self.changed = name
                _bind(attributes, name, before.get(name, _ABSENT))
        for name, x, contents in self.named:
            if not _same(_contents(x), contents):
                if not _same(_contents(_without_notes(x, contents)), contents):
                    self.changed = name
                _restore(x, contents)
        for optimizer, steps, state in self.steps:
            if optimizer.steps != steps:
                self.changed = "its parameters"
                optimizer.steps = steps
                optimizer.state.update(state)
        for parameter, data, grad in self.parameters:
            if parameter.data is not data and repr(parameter.data) != repr(data):
                self.changed = "its parameters"
                parameter.data = data
            if parameter.grad is not grad and repr(parameter.grad) != repr(grad):
                self.changed = "its parameters"
                parameter.grad = grad

    def check(self, place: str) -> None:
        """Raise TraceError if something had to be put back; `place` is where the function is."""
        if self.changed is None:
            return
        if self.steps:
            raise TraceError(
                f"{place}: step() or zero_grad() of an optimiser, or another change of "
                f"{self.changed}, in a lifted function, which runs once for many calls; call them "
                "outside of it, or let a Trainer do it."
            )
        raise _changed(place, self.changed)

    def _is_meant(self, name: str, value: Any) -> bool:
        """Tell whether a variable was bound by the function: threads, or Python, bind others."""
        named = name in self.mentioned and not isinstance(value, ModuleType)
        return named or _traced(value)


_ABSENT = object()


def _changed(place: str, name: str) -> TraceError:
    return TraceError(
        f"{place}: {name} is changed by the lifted function, which runs once for many calls; "
        "return the new value instead of storing it."
    )


def _without_notes(x: Any, before: list[Any]) -> Any:
    """Return an object without the traced values that it did not have before."""
    attributes = getattr(x, "__dict__", None)
    if isinstance(x, list | set | dict | CellType | type) or not attributes:
        return x
    known = set(before[: len(before) // 2])
    return SimpleNamespace(
        **{key: y for key, y in attributes_of(x).items() if key in known or not _traced(y)}
    )


def _traced(x: Any) -> bool:
    """Tell whether something is a traced value, or a container of nothing else."""
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, list | tuple):
        return bool(x) and all(map(_traced, x))
    return isinstance(x, Operators | Condition | TracedArray | Batch)


_CONTAINERS = (list, deque, bytearray, set, dict, CellType, np.ndarray)


def _is_container(x: Any) -> bool:
    kind: Any = type(x)
    return issubclass(kind, _CONTAINERS) or has_users_attributes(kind)


def _is_librarys(x: Any) -> bool:
    """Tell whether it is an object of a library, with attributes."""
    own = isinstance(x, type | ModuleType) or _is_container(x)
    return not own and isinstance(getattr(x, "__dict__", None), dict)


def _contents(x: Any) -> list[Any]:
    if isinstance(x, list | deque | bytearray):
        return list(x)
    if isinstance(x, np.ndarray):
        return x.reshape(-1).tolist() if x.dtype == object else [x.tobytes()]
    if isinstance(x, set):
        return sorted(x, key=id)
    if isinstance(x, dict):
        return [*x, *x.values()]
    if isinstance(x, CellType):
        try:
            return [x.cell_contents]
        except ValueError:  # not bound
            return []
    attributes = attributes_of(x)
    return [*attributes, *attributes.values()]


def _by_name(contents: list[Any]) -> dict[Any, Any]:
    """Return the contents of a dict, or the attributes of an object, by name."""
    half = len(contents) // 2
    return dict(zip(contents[:half], contents[half:], strict=True))


def _same(after: list[Any], before: list[Any]) -> bool:
    if len(after) != len(before):
        return False
    if all(map(is_, after, before)):
        return True
    pairs = zip(after, before, strict=True)
    return all(a is b or (type(a) is bytes and a == b) for a, b in pairs)  # of an array


def _restore(x: Any, contents: list[Any]) -> None:
    """Give something the contents that it had."""
    if isinstance(x, list | deque | bytearray):
        x.clear()
        x.extend(contents)
    elif isinstance(x, set):
        x.clear()
        x.update(contents)
    elif isinstance(x, dict):
        x.clear()
        x.update(_by_name(contents))
    elif isinstance(x, CellType):
        del x.cell_contents
        for item in contents:
            x.cell_contents = item
    elif isinstance(x, np.ndarray) and x.dtype == object:
        for i, item in enumerate(contents):
            x.flat[i] = item
    elif isinstance(x, np.ndarray):
        x[...] = np.frombuffer(contents[0], x.dtype).reshape(x.shape)
    else:
        known = _by_name(contents)
        for name in attributes_of(x).keys() - known.keys():
            object.__delattr__(x, name)
        for name, item in known.items():
            object.__setattr__(x, name, item)  # a frozen one, too


def _variables(space: Any) -> Mapping[str, Any]:
    return vars(space) if isinstance(space, type) else space


def _bind(space: Any, name: str, value: Any) -> None:
    """Bind a variable of a module or an attribute of a class, or take it away."""
    if value is _ABSENT:
        delattr(space, name) if isinstance(space, type) else space.pop(name)
    elif isinstance(space, type):
        setattr(space, name, value)
    else:
        space[name] = value
