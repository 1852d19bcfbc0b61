"""Confusion matrices: counts and drawing."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from liftgrad.plot import confusion_matrix


def test_counts_are_scikit_learns():
    """True classes are rows, predicted ones columns, also where a class is never one of them."""
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    true, predicted = random.integers(0, 6, 300), random.integers(1, 8, 300)
    matrix = confusion_matrix(true, predicted)
    assert np.array_equal(matrix.counts, metrics.confusion_matrix(true, predicted))
    normalised = metrics.confusion_matrix(true, predicted, normalize="true")
    assert matrix.shares == pytest.approx(normalised)
    assert matrix.accuracy == pytest.approx(metrics.accuracy_score(true, predicted))


def test_cells_hold_counts_and_shares_of_their_row():
    """And are shaded by the shares; the axis has the accuracy."""
    matrix = confusion_matrix(["b", "a", "a", "a", "b"], ["b", "a", "a", "b", "b"], title="Two")
    texts = {t.get_position(): t.get_text() for t in matrix.ax_.texts}
    assert texts == {(0, 0): "2\n67%", (1, 0): "1\n33%", (0, 1): "0", (1, 1): "2\n100%"}
    (image,) = matrix.ax_.images
    assert np.allclose(image.get_array(), [[2 / 3, 1 / 3], [0.0, 1.0]])
    assert image.get_clim() == (0.0, 1.0)
    assert [t.get_text() for t in matrix.ax_.get_yticklabels()] == ["a", "b"]
    assert matrix.ax_.get_xlabel() == "predicted class\naccuracy 80.0%: 4 of 5"
    assert matrix.ax_.get_ylabel() == "true class"
    assert matrix.ax_.get_title() == "Two"


def test_no_share_is_rounded_to_none_or_all():
    """Unless it is exactly that."""
    matrix = confusion_matrix([0] * 1000 + [1], [0] * 999 + [1, 1])
    assert [t.get_text() for t in matrix.ax_.texts] == ["999\n>99%", "1\n<1%", "0", "1\n100%"]


@pytest.mark.parametrize("count", [2, 5, 10, 20])
def test_texts_fit_their_cells(count):
    """From 2 to 20 classes, with numbers of four digits, and can be read."""
    random = np.random.default_rng(0)
    true = np.concatenate([np.arange(count), random.integers(0, count, 1200 * count)])
    matrix = confusion_matrix(true, true, class_names=[f"class {i}" for i in range(count)])
    matrix.figure_.draw_without_rendering()
    cell = matrix.ax_.bbox.width / count
    for text in matrix.ax_.texts:
        assert text.get_window_extent().width < cell
        assert text.get_window_extent().height < cell
        assert text.get_fontsize() >= 6.0


def test_classes_that_names_know_of():
    """They are there even if no point has them."""
    matrix = confusion_matrix([0, 2], [0, 0], class_names=["x", "y", "z"])
    assert matrix.counts.tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 0]]
    assert matrix.shares.tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_it_draws_on_given_axes():
    """It leaves the rest of their figure alone."""
    figure = Figure((8.0, 3.0))
    left, right = figure.subplots(1, 2)
    matrix = confusion_matrix([0, 1], [0, 1], ax=right)
    assert (matrix.ax_, matrix.figure_) == (right, figure)
    assert not left.has_data()


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        (([0, 1], [0]), {}, r"one shape \(n,\); got \(2,\) and \(1,\)\.$"),
        (([], []), {}, r"got \(0,\) and \(0,\)\.$"),
        (([0], ["0"]), {}, "not labels of one kind; give both arrays the same labels"),
        (([0, 1], [0, 5]), {"class_names": ["a", "b"]}, "2 class names for 3 classes; pass one"),
    ],
)
def test_impossible_arguments(arguments, keywords, message):
    """One sentence says what would be possible."""
    with pytest.raises(ValueError, match=message):
        confusion_matrix(*arguments, **keywords)
