"""Last call: what it was given, since a call like it need not be flattened again.

A training loop calls its loss with the same model and the same or other arrays of one shape.
One comparison of the model's lists and attributes with copies of them says whether its structure is
unchanged, at a cost of nanoseconds a parameter.
"""

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from operator import getitem, is_
from typing import Any, Self

import numpy as np

from liftgrad.lift.call.classes import has_attributes_only
from liftgrad.lift.call.flat_arguments import FlatArguments
from liftgrad.lift.call.leaves import LeafGroup
from liftgrad.lift.call.snapshots import Snapshot
from liftgrad.lift.run.parameters import Window


class LastCall:
    """What another call's arguments must have in common with the last one's."""

    def __init__(
        self, arguments: dict[str, Any], flat: FlatArguments, forget: Callable[[Any], None]
    ) -> None:
        self.names = tuple(arguments)
        self.groups = list(flat.groups)
        group = {g.name: i for i, g in enumerate(flat.groups) if g.kind != "parameter"}
        numbered = list(enumerate(arguments.items()))
        self.arrays = [
            (i, group[name], x.dtype, x.shape)
            for i, (name, x) in numbered
            if isinstance(x, np.ndarray)
        ]
        self.floats = [(i, group[name]) for i, (name, x) in numbered if x.__class__ is float]
        varying = {i for i, *_ in [*self.arrays, *self.floats]}
        rest = [(i, x) for i, (_, x) in numbered if i not in varying]
        # Models are held weakly: the user decides how long they live.
        self.objects = [(i, weakref.ref(x, forget)) for i, x in rest if _is_referable(x)]
        self.static = [(i, x) for i, x in rest if not _is_referable(x)]
        self.containers = flat.containers
        self.copies = [x.copy() if isinstance(x, _MUTABLE) else x for x in self.containers]
        found = [(x, key, number) for x in self.containers for key, number in _numbers(x)]
        self.holders, self.keys, self.numbers = ([row[i] for row in found] for i in range(3))

    @classmethod
    def of(
        cls, arguments: dict[str, Any], flat: FlatArguments, forget: Callable[[Any], None]
    ) -> Self | None:
        """Return what to remember of a call, or None if calls like it must be flattened each time.

        `forget` is called once an argument that only the user keeps alive is collected.
        """
        parameters = [v for g in flat.groups if g.kind == "parameter" for v in g.values]
        if not flat.complete or any(type(v) is not Window for v in parameters):
            return None
        own = {id(x) for x in arguments.values() if isinstance(x, np.ndarray)}
        floats = {name for name, x in arguments.items() if x.__class__ is float}
        for group in flat.groups:
            known = id(group.array) in own if group.array is not None else group.name in floats
            if group.kind != "parameter" and not known:
                return None
        return cls(arguments, flat, forget)

    def numbers_of(self, arguments: Sequence[Any]) -> list[LeafGroup] | None:
        """Return the numbers of these arguments, or None if they may need another program.

        Arguments come in the order of `names`. After None it must not be called again.
        """
        groups = self.groups
        for i, group, dtype, shape in self.arrays:
            x = arguments[i]
            if x.__class__ is not _ARRAY or x.shape != shape:
                return None
            given = x.dtype
            if given is not dtype and given != dtype:
                return None
            if groups[group].array is not x:
                groups[group] = replace(groups[group], array=x)
        for i, group in self.floats:
            if arguments[i].__class__ is not float:
                return None
            groups[group] = replace(groups[group], values=[arguments[i]])
        for i, reference in self.objects:
            if arguments[i] is not reference():
                return None
        for i, known in self.static:
            x = arguments[i]
            if x is not known and (
                x.__class__ not in _PLAIN or type(known) is not type(x) or x != known
            ):
                return None
        # Do containers and objects still hold the same items?
        before = Window.comparisons
        try:
            # Equality of containers tries identity first, and windows count the comparisons beyond
            # that: an equal number in place of a parameter is another parameter.
            if self.containers != self.copies or Window.comparisons != before:
                return None
            # 0.0 equals -0.0, and 1 equals True and Value(1.0); each is another program.
            if self.numbers and not all(
                map(is_, map(_item, self.holders, self.keys), self.numbers)
            ):
                return None
        except Exception:  # noqa: BLE001, the user's own == may raise anything
            return None
        return groups


_ARRAY = np.ndarray
_item: Any = getitem
_PLAIN = (int, str, bool, bytes, type(None), Snapshot)
_MUTABLE = (list, dict, set)


def _numbers(container: Any) -> Iterator[tuple[Any, int | float]]:
    """Yield the static numbers directly in a container, each with its key."""
    if not isinstance(container, set | frozenset):
        items = container.items() if isinstance(container, dict) else enumerate(container)
        yield from ((key, x) for key, x in items if x.__class__ in {int, float})


def _is_referable(x: Any) -> bool:
    kind: Any = type(x)
    return kind.__weakrefoffset__ != 0 and has_attributes_only(kind)
