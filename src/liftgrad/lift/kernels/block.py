"""The block of a nest's rows that is written: where it is, and what of it is known."""

from collections.abc import Callable
from dataclasses import dataclass, field

from liftgrad.lift.kernels.tiling import Dimension, Point


@dataclass(slots=True)
class Block:
    """The state of the loops around what is written next."""

    width: int
    """The lanes of a vector."""
    corner: dict[Dimension, str] = field(default_factory=dict)
    """Its first position along each dimension."""
    vector: Dimension | None = None
    """The dimension along which values are vectors; None: they are single numbers."""
    masks: dict[tuple[Dimension, int], str] = field(default_factory=dict)
    """Which lanes of a vector, by its shift along a dimension, are in use, where not all are."""
    counts: dict[tuple[Dimension, int], int] = field(default_factory=dict)
    """How many lanes a mask of the first ones leaves in use."""
    memo: dict[object, str] = field(default_factory=dict)
    """What has been computed and is still valid."""

    @property
    def lanes(self) -> int:
        """The lanes of a value."""
        return 1 if self.vector is None else self.width

    def once(self, key: object, value: Callable[[], str]) -> str:
        """Return the value for a key, computed on first use."""
        if key not in self.memo:
            self.memo[key] = value()
        return self.memo[key]

    def mask(self, point: Point) -> str | None:
        """Return the mask of the vector at a point, or None where all lanes are in use."""
        for entry in point:
            if entry[0] == self.vector and entry in self.masks:
                return self.masks[entry]
        return None

    def active(self, point: Point) -> int:
        """Return how many lanes of the vector at a point are in use."""
        for entry in point:
            if entry[0] == self.vector and entry in self.counts:
                return self.counts[entry]
        return self.width
