"""Mutation: a lifted function must not mutate its arguments, for its body runs once.

It runs on copies: what it appends to a list or assigns to an attribute is lost, and missing in the
next call. So it is refused, with one exception: modules that store what they computed, as in
`self.out = ...`. An attribute that an object did not have before cannot have been read before it
was set, so no result depends on it, and it goes with the copy.

Not everything is a copy: the user's methods, and functions of other modules, see what they see
eagerly. What they change is put back.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from operator import is_
from types import CellType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from liftgrad.errors import TraceError
from liftgrad.lift.call.classes import attributes_of, has_users_attributes
from liftgrad.lift.purity.reachable import Named, reach
from liftgrad.lift.stand_ins.arrays import TracedArray
from liftgrad.lift.stand_ins.values import Condition
from liftgrad.lift.stand_ins.vmap import Batch
from liftgrad.lift.user_code import user_line
from liftgrad.operators import Operators
from liftgrad.optim import Optimizer


class Copies:
    """Copies of containers, objects and variables, which a function must leave as they are.

    They come with the user's names for the originals; a module's globals, a dict, have none: "".
    """

    def __init__(self, named: Iterable[Named]) -> None:
        self.before = [(name, x, _contents(x)) for name, x in named]

    def check(self) -> None:
        """Raise TraceError if the contents of one of them have changed."""
        for name, x, before in self.before:
            if not _same(_contents(_without_results(x, before)), before):
                if isinstance(x, dict) and not name:
                    known = _by_name(before)
                    name = next(key for key in x if known.get(key, self) is not x[key])  # noqa: PLW2901
                raise _changed(user_line(), name)


class Originals:
    """Objects that the function sees itself, since there are no copies of them.

    Args:
        namespaces: the variables of modules and of functions, as dicts, and classes.
        known: variables of closures, and what variables stand for.
        mentioned: the names in the function's code, and in the code that it calls.

    """

    def __init__(
        self, namespaces: Iterable[Any], known: Iterable[Named], mentioned: Iterable[str]
    ) -> None:
        self.namespaces = [(space, dict(_variables(space))) for space in namespaces]
        self.reachable = list(reach(known))
        """Everything that it can reach from there."""
        self.named = [(name, x, _contents(x)) for name, x in self.reachable if _is_container(x)]
        # Libraries' objects may change, such as caches: only traced values must not stay there.
        objects = [x.__dict__ for _, x in self.reachable if _is_of_library(x)]
        self.others = [(attributes, dict(attributes)) for attributes in objects]
        optimizers = [x for _, x in self.reachable if isinstance(x, Optimizer)]
        self.parameters = [(p, p.data, p.grad) for x in optimizers for p in x.params]
        states = [{name: list(column) for name, column in x.state.items()} for x in optimizers]
        self.steps = [(x, x.steps, state) for x, state in zip(optimizers, states, strict=True)]
        self.mentioned = frozenset(mentioned)
        self.changed: str | None = None
        """The name of something that was changed."""
        if optimizers and not self.mentioned.isdisjoint(("step", "zero_grad")):
            self.changed = "its parameters"  # which does not show if gradients are zero already

    def put_back(self) -> None:
        """Undo all changes."""
        for space, before in self.namespaces:
            after = _variables(space)
            if len(after) == len(before) and all(map(is_, after.values(), before.values())):
                continue
            for name in [*after, *before]:
                new, old = after.get(name, _ABSENT), before.get(name, _ABSENT)
                if new is not old and self._is_bound_by_function(name, new):
                    self.changed = name
                    _bind(space, name, old)
        for attributes, before in self.others:
            new = [n for n, x in attributes.items() if _is_traced(x) and x is not before.get(n)]
            for name in new:
                self.changed = name
                _bind(attributes, name, before.get(name, _ABSENT))
        for name, x, contents in self.named:
            if not _same(_contents(x), contents):
                if not _same(_contents(_without_results(x, contents)), contents):
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

    def check(self, line: str) -> None:
        """Raise TraceError, with the function's line, if something had to be put back."""
        if self.changed is None:
            return
        if self.steps:
            raise TraceError(
                f"{line}: step() or zero_grad() of an optimiser, or another change of "
                f"{self.changed}, in a lifted function, which runs once for many calls; call them "
                "outside of it, or use a Trainer."
            )
        raise _changed(line, self.changed)

    def _is_bound_by_function(self, name: str, value: Any) -> bool:
        """Return whether the function bound a variable, not another thread or an import."""
        is_named = name in self.mentioned and not isinstance(value, ModuleType)
        return is_named or _is_traced(value)


_ABSENT = object()


def _changed(line: str, name: str) -> TraceError:
    return TraceError(
        f"{line}: {name} is changed by the lifted function, which runs once for many calls; "
        "return the new value instead of storing it."
    )


def _without_results(x: Any, before: list[Any]) -> Any:
    """Return an object without attributes that are new and hold traced values."""
    attributes = getattr(x, "__dict__", None)
    if isinstance(x, list | set | dict | CellType | type) or not attributes:
        return x
    known = set(before[: len(before) // 2])
    return SimpleNamespace(
        **{key: y for key, y in attributes_of(x).items() if key in known or not _is_traced(y)}
    )


def _is_traced(x: Any) -> bool:
    """Return whether `x` is a traced value, or a container of nothing else."""
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, list | tuple):
        return bool(x) and all(map(_is_traced, x))
    return isinstance(x, Operators | Condition | TracedArray | Batch)


_CONTAINERS = (list, deque, bytearray, set, dict, CellType, np.ndarray)


def _is_container(x: Any) -> bool:
    cls: Any = type(x)
    return issubclass(cls, _CONTAINERS) or has_users_attributes(cls)


def _is_of_library(x: Any) -> bool:
    """Return whether `x` is an object of a library that has attributes."""
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
    """Return the contents of a dict, or the attributes of an object, as a dict."""
    half = len(contents) // 2
    return dict(zip(contents[:half], contents[half:], strict=True))


def _same(after: list[Any], before: list[Any]) -> bool:
    if len(after) != len(before):
        return False
    if all(map(is_, after, before)):
        return True
    pairs = zip(after, before, strict=True)
    return all(a is b or (type(a) is bytes and a == b) for a, b in pairs)  # the bytes of an array


def _restore(x: Any, contents: list[Any]) -> None:
    """Give an object the contents that it had."""
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
            object.__setattr__(x, name, item)  # works for frozen dataclasses, too


def _variables(space: Any) -> Mapping[str, Any]:
    return vars(space) if isinstance(space, type) else space


def _bind(space: Any, name: str, value: Any) -> None:
    """Bind a variable of a module or an attribute of a class, or delete it."""
    if value is _ABSENT:
        delattr(space, name) if isinstance(space, type) else space.pop(name)
    elif isinstance(space, type):
        setattr(space, name, value)
    else:
        space[name] = value
