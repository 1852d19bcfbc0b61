"""Given: the numbers of a call's arguments, checked, in the shape that a program takes them in."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.errors import LiftError
from liftgrad.lift.call.leaves import LeafGroup
from liftgrad.lift.pipeline import Built


def samples_of(groups: list[LeafGroup], batched: set[int]) -> int:
    """Return the size of the batch, 1 where nothing is mapped over."""
    sizes = {len(groups[i].array) for i in batched}  # type: ignore[arg-type]
    if len(sizes) > 1:
        named = ", ".join(f"{groups[i].name} {groups[i].array.shape}" for i in sorted(batched))  # type: ignore[union-attr]
        raise LiftError(f"vmap over arrays of different lengths: {named}; make them equal.")
    return sizes.pop() if sizes else 1


def checked_numbers(group: LeafGroup, index: int, built: Built) -> NDArray[Any]:
    """Return a leaf group's numbers, of shape (size,) or (size, samples), indices in range."""
    numbers = group.numbers_by_sample() if index in built.batched_groups else group.numbers()
    if group.kind == "index":
        extents = built.index_bounds.get(index)
        if extents is not None:
            limits = extents if numbers.ndim == 1 else extents[:, None]
            wrong = (numbers < 0) | (numbers >= limits)
            if wrong.any():
                place = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
                raise IndexError(
                    f"take() at index {numbers[place]} of a table of {extents[place[0]]}, from the "
                    f"argument {group.name}; indices go from 0 to {extents[place[0]] - 1}."
                )
        if numbers.dtype.kind == "u" and numbers.size and numbers.max() > np.iinfo(np.int64).max:
            raise LiftError(
                f"the argument {group.name} holds integers beyond int64; indices must fit into it."
            )
    return numbers
