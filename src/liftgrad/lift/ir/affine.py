"""Affine: mixed-radix affine maps that give index sequences.

    sequence[i] = offset + Σ_d stride_d · i_d,    i written in the mixed radix of the extents

To find a map, take the longest run of constant difference from the start; if such runs tile the
sequence, go on with their heads. Each map is checked against the whole sequence.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from liftgrad.lift.ir.groups import Indices


def radices(sequence: Indices) -> list[int] | None:
    """Return the extents of a sequence's map, innermost first, or None if it has none."""
    extents = []
    while len(sequence) > 1:
        stride = sequence[1] - sequence[0]
        breaks = np.nonzero(sequence[1:] - sequence[:-1] != stride)[0]
        if not len(breaks):
            extents.append(len(sequence))
            break
        extent = int(breaks[0]) + 1
        if extent == 1 or len(sequence) % extent:
            return None
        rows = sequence.reshape(-1, extent)
        if not (rows == rows[:, :1] + stride * np.arange(extent)).all():
            return None
        extents.append(extent)
        sequence = rows[:, 0]
    return extents


def common_extents(length: int, sequences: Iterable[Indices]) -> tuple[int, ...]:
    """Return extents, outermost first, that suit as many of the sequences as possible.

    Sequences whose radices contradict those before them are left out; they will need a table.
    """
    breaks: list[int] = []
    for sequence in sequences:
        extents = radices(sequence)
        if extents is None:
            continue
        joined = sorted({*breaks, *(int(b) for b in np.cumprod(extents)[:-1])})
        if all(b % a == 0 for a, b in pairwise(joined)):
            breaks = joined
    edges = [1, *breaks, length]
    return tuple(b // a for a, b in pairwise(edges))[::-1]


def strides(sequence: Indices, extents: Sequence[int]) -> tuple[int, ...] | None:
    """Return the strides of a sequence over loops of these extents, or None if it has none."""
    result = []
    step = len(sequence)
    for extent in extents:
        step //= extent
        result.append(int(sequence[step] - sequence[0]) if extent > 1 else 0)
    if not (linear(result, extents, sequence[0]) == sequence).all():
        return None
    return tuple(result)


def text(offset: int, strides: Sequence[int], letters: Sequence[str]) -> str:
    """Return a map as text, with a letter for each loop: "4i+k", "s-1", "7-s", "3"."""
    terms = [
        (stride, f"{'' if abs(stride) == 1 else abs(stride)}{letter}")
        for stride, letter in zip(strides, letters, strict=True)
        if stride
    ]
    if offset or not terms:
        first = bool(terms) and terms[0][0] < 0 < offset
        terms.insert(0 if first else len(terms), (offset, str(abs(offset))))
    joined = "".join(f"{'-' if factor < 0 else '+'}{word}" for factor, word in terms)
    return joined.removeprefix("+")


def linear(steps: Sequence[int], extents: Sequence[int], offset: int = 0) -> Indices:
    """Return the sequence with this offset and these strides over loops of these extents."""
    result = np.array([offset], np.int64)
    for step, extent in zip(steps, extents, strict=True):
        if extent > 1:
            result = (result[:, None] + step * np.arange(extent)).reshape(-1)
    return result
