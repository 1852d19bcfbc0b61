"""Affine: index sequences as strides over nested loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftgrad.lift.ir import affine


def sequence(offset, extents, strides):
    """The sequence that loops of these extents read with these strides, written out."""
    places = np.full(extents, offset)
    for axis, (extent, stride) in enumerate(zip(extents, strides, strict=True)):
        shape = [1] * len(extents)
        shape[axis] = extent
        places = places + (stride * np.arange(extent)).reshape(shape)
    return places.reshape(-1)


@pytest.mark.parametrize(
    ("numbers", "extents"),
    [
        ([5], []),
        ([0, 1, 2, 3], [4]),
        ([7, 5, 3], [3]),
        ([2, 2, 2], [3]),
        ([0, 1, 2, 17, 18, 19], [3, 2]),
        ([0, 0, 1, 1, 2, 2], [2, 3]),
        ([0, 1, 0, 1, 4, 5, 4, 5], [2, 2, 2]),
        ([0, 1, 3, 6], None),
        ([0, 1, 2, 0, 1], None),
        ([0, 1, 2, 10, 11, 13], None),
    ],
)
def test_the_radices_of_a_sequence(numbers, extents):
    """Innermost first; None where runs of one difference do not tile the sequence."""
    assert affine.radices(np.array(numbers)) == extents


def test_common_radices_suit_all_sequences():
    """A row index and a column index of one matrix; one that fits neither is left out."""
    rows, columns = np.repeat(np.arange(3), 4), np.tile(np.arange(4), 3)
    assert affine.common_extents(12, [rows, columns]) == (3, 4)
    assert affine.common_extents(12, [np.arange(12)]) == (12,)
    assert affine.common_extents(12, [rows, np.tile(np.arange(6), 2)]) in [(3, 4), (2, 6)]
    assert affine.common_extents(12, []) == (12,)


def test_a_fit_is_checked_against_the_whole_sequence():
    """Sequences that agree at the corners of their loops are refused all the same."""
    numbers = sequence(3, (4, 5), (10, 2))
    assert affine.strides(numbers, (4, 5)) == (10, 2)
    for place in range(len(numbers)):
        wrong = numbers.copy()
        wrong[place] += 1
        assert affine.strides(wrong, (4, 5)) is None


loops = st.lists(st.tuples(st.integers(1, 5), st.integers(-20, 20)), min_size=1, max_size=4).filter(
    lambda dims: math.prod(extent for extent, _ in dims) <= 400
)


@given(st.integers(0, 50), loops)
def test_a_fit_reproduces_its_sequence(offset, dims):
    """Whatever extents are found, the strides found for them give the numbers back."""
    extents, strides = zip(*dims, strict=True)
    numbers = sequence(offset, extents, strides)
    assert affine.strides(numbers, extents) is not None
    assert (numbers[0] + affine.linear(affine.strides(numbers, extents), extents) == numbers).all()
    found = affine.common_extents(len(numbers), [numbers])
    fitted = affine.strides(numbers, found)
    if affine.radices(numbers) is not None:
        assert fitted is not None
    if fitted is not None:
        assert (numbers[0] + affine.linear(fitted, found) == numbers).all()


@given(st.lists(st.lists(st.integers(0, 9), min_size=12, max_size=12), min_size=1, max_size=3))
def test_any_sequences_get_common_extents(lists):
    """They multiply to the length, and what is not affine over them is said so."""
    sequences = [np.array(numbers) for numbers in lists]
    extents = affine.common_extents(12, sequences)
    assert math.prod(extents) == 12
    for numbers in sequences:
        fitted = affine.strides(numbers, extents)
        if fitted is not None:
            assert (numbers[0] + affine.linear(fitted, extents) == numbers).all()
