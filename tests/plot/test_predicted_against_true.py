"""Predicted against true numbers: what is drawn, and what is refused."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from liftgrad.plot import predicted_against_true


def test_each_row_is_a_point_and_both_axes_have_one_range():
    """Points on the diagonal were predicted correctly."""
    drawn = predicted_against_true([1, 2, 4], [1.5, 2.0, 3.0], name="price", title="Three")
    (points,) = drawn.ax_.collections
    assert points.get_offsets().tolist() == [[1.0, 1.5], [2.0, 2.0], [4.0, 3.0]]
    (line,) = drawn.ax_.lines
    assert line.get_xdata().tolist() == line.get_ydata().tolist()
    assert drawn.ax_.get_xlim() == drawn.ax_.get_ylim()
    low, high = drawn.ax_.get_xlim()
    assert low < 1.0
    assert high > 4.0
    assert (drawn.ax_.get_xlabel(), drawn.ax_.get_ylabel()) == ("true price", "predicted price")
    assert drawn.ax_.get_title() == "Three"
    assert drawn.rmse == pytest.approx(np.sqrt((0.25 + 0.0 + 1.0) / 3))


def test_it_is_drawn_on_given_axes():
    """And a single number has a range, too."""
    ax = Figure().add_subplot()
    drawn = predicted_against_true([2.0], [2.0], ax)
    assert drawn.ax_ is ax
    assert drawn.figure_ is ax.figure
    assert ax.get_xlim()[0] < 2.0 < ax.get_xlim()[1]


@pytest.mark.parametrize(
    ("true", "predicted", "message"),
    [
        ([1, 2], [1], r"of one shape \(n,\); got \(2,\) and \(1,\)"),
        ([], [], r"got \(0,\) and \(0,\)"),
        ([[1], [2]], [[1], [2]], r"got \(2, 1\) and \(2, 1\)"),
        ([1, 2], [1, np.nan], "numbers that are not finite; drop their rows"),
    ],
)
def test_what_cannot_be_drawn_is_refused(true, predicted, message):
    """With what to do."""
    with pytest.raises(ValueError, match=message):
        predicted_against_true(true, predicted)
