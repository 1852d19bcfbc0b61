"""Repeat: calls like the last one, without taking their arguments apart again.

A training loop calls its loss with the same model and the same or other arrays of one shape.
Whether a model's structure is still what it was is asked with one comparison of its lists and
attributes with copies of them, which costs nanoseconds for each parameter.
"""

from dataclasses import replace
from typing import Any, Self

import numpy as np

from liftgrad.lift.arguments import Reading
from liftgrad.lift.parameters import Window
from liftgrad.lift.results import Prepared


class Repeat:
    """The last call's arguments, as far as another call has to agree with them."""

    def __init__(self, arguments: dict[str, Any], reading: Reading, prepared: Prepared) -> None:
        self.prepared = prepared
        self.groups = list(reading.groups)
        arrays = {g.name: i for i, g in enumerate(reading.groups) if g.array is not None}
        self.arrays = [
            (name, arrays[name], x.dtype, x.shape)
            for name, x in arguments.items()
            if isinstance(x, np.ndarray) and name in arrays
        ]
        changing = {name for name, *_ in self.arrays}
        self.same = [(name, x) for name, x in arguments.items() if name not in changing]
        self.live = reading.containers
        self.frozen = [x.copy() if isinstance(x, list | dict) else x for x in self.live]
        self.names = arguments.keys()

    @classmethod
    def of(cls, arguments: dict[str, Any], reading: Reading, prepared: Prepared) -> Self | None:
        """Return what to remember of a call, or None if its like must be taken apart."""
        own_arrays = {id(x) for x in arguments.values() if isinstance(x, np.ndarray)}
        for group in reading.groups:
            parts = group.kind == "parameter" or id(group.array) in own_arrays
            if not parts:
                return None
        if any(p.store is None for p in prepared.parameters.values()):
            return None
        if any(isinstance(x, np.ndarray) and x.dtype.kind == "b" for x in arguments.values()):
            return None
        return cls(arguments, reading, prepared)

    def serves(self, arguments: dict[str, Any]) -> bool:
        """Tell whether the last call's program and parameters are right for these arguments."""
        if arguments.keys() != self.names:
            return False
        for name, _, dtype, shape in self.arrays:
            x = arguments[name]
            if x.__class__ is not np.ndarray or x.dtype != dtype or x.shape != shape:
                return False
        for name, known in self.same:
            x = arguments[name]
            if x is not known and (x.__class__ not in _PLAIN or type(known) is not type(x) or x != known):
                return False
        before = Window.comparisons
        try:
            # Equality of containers goes by identity first. Windows count the questions they are
            # asked beyond that: an equal number in the place of a parameter is another parameter.
            unchanged = self.live == self.frozen
        except ValueError:  # an array in a container was replaced
            return False
        return unchanged and Window.comparisons == before

    def call(self, arguments: dict[str, Any]) -> Any:
        """Run the program on these arguments."""
        for name, i, _, _ in self.arrays:
            known = self.groups[i]
            if known.array is not arguments[name]:
                self.groups[i] = replace(known, array=arguments[name])
        return self.prepared.call(self.groups)


_PLAIN = (int, str, bool, bytes, type(None))
