"""Recent: what was used last, as much of it as is worth its memory."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A mapping that drops what was used longest ago once it takes too much memory.

    Args:
        size: tells how many bytes a value takes, roughly.
        drop: is told of each value that is dropped.
        limit: how many bytes all may take together.
        few: how many are kept, however large.

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
        """Forget a value, which is not dropped."""
        self.values = OrderedDict((k, x) for k, x in self.values.items() if x is not value)

    def add(self, key: K, value: V) -> None:
        """Keep a value, in the place of what is dropped."""
        self.values[key] = value
        # Sizes are asked anew: values may have grown since they were added.
        excess = sum(map(self.size, list(self.values.values()))) - self.limit
        while excess > 0 and len(self.values) > self.few:
            _, oldest = self.values.popitem(last=False)
            excess -= self.size(oldest)
            self.drop(oldest)
