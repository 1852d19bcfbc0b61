"""Draws: the random numbers that a lifted function draws, inputs of its program like any others.

`functional.uniform` of a traced value records an input, and each call draws its number (`drawing`).
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Draws:
    """A run of draws, one after another, outside of vmap or within one vmap."""

    mapped: int
    """Which vmap they are within, counted from 1; 0: none."""
    count: int = 0
    """How many numbers; within vmap, for each sample."""
    group: int | None = None
    """The program's group of them, or None if nothing uses them."""
