"""Recent: a mapping with a limit in bytes, which drops what was used longest ago."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A mapping that drops what was used longest ago when it takes too much memory.

    Args:
        size: returns roughly how many bytes a value takes.
        drop: called with each value that is dropped.
        limit: how many bytes all values may take.
        few: how many values are kept, however large.

    >>> texts = Recent[str, str](len, print, limit=10, few=1)
    >>> texts.add("a", "six...")
    >>> texts.add("b", "seven..")
    six...
    >>> texts.get("a"), texts.get("b")
    (None, 'seven..')

    """

    def __init__(
        self, size: Callable[[V], int], drop: Callable[[V], object], limit: int, few: int
    ) -> None:
        self.size, self.drop, self.limit, self.few = size, drop, limit, few
        self.values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return the value of a key, or None, and count that as a use."""
        value = self.values.get(key)
        if value is not None:
            self.values.move_to_end(key)
        return value

    def remove(self, value: V) -> None:
        """Remove a value, without calling `drop`."""
        self.values = OrderedDict((k, x) for k, x in self.values.items() if x is not value)

    def add(self, key: K, value: V) -> None:
        """Add a value, and drop others if they take too much memory with it."""
        self.values[key] = value
        # Sizes are asked for again: values may have grown since they were added.
        excess = sum(map(self.size, list(self.values.values()))) - self.limit
        while excess > 0 and len(self.values) > self.few:
            _, oldest = self.values.popitem(last=False)
            excess -= self.size(oldest)
            self.drop(oldest)
