"""Training curves: which lines there are, and on what scale."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from liftgrad.plot import training_curves
from liftgrad.plot.training_curves import smoothed
from liftgrad.trainer import History


class Fitted:
    """A history with a table by epoch."""

    loss = np.linspace(2.0, 1.0, 30)

    def table(self):
        """Return columns of one length."""
        return {
            "epoch": np.arange(1, 4),
            "step": np.array([10, 20, 30]),
            "loss": np.array([2.0, 1.5, 1.0]),
            "validation_loss": np.array([2.5, 2.0, 1.8]),
            "lr": np.array([0.1, 0.1, 0.1]),
            "accuracy": np.array([0.5, 0.7, 0.8]),
        }


def lines(axes):
    return {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}


@pytest.mark.parametrize("wrap", [list, np.array, History])
def test_losses_by_step(wrap):
    """They are one line."""
    losses = np.array([3.0, 2.0, 1.5])
    curves = training_curves(wrap(losses), title="Three")
    assert lines(curves.ax_) == {"loss": [[0.0, 3.0], [1.0, 2.0], [2.0, 1.5]]}
    assert (curves.ax_.get_xlabel(), curves.ax_.get_ylabel()) == ("step", "loss")
    assert (curves.ax_.get_title(), curves.ax_.get_yscale()) == ("Three", "linear")


@pytest.mark.parametrize("wrap", [lambda h: h, lambda h: h.table()])
def test_a_table_by_epoch(wrap):
    """It has axes for each quantity but the rate, with validation next to training."""
    curves = training_curves(wrap(Fitted()))
    loss, accuracy = curves.axes_
    assert lines(loss) == {
        "training": [[1.0, 2.0], [2.0, 1.5], [3.0, 1.0]],
        "validation": [[1.0, 2.5], [2.0, 2.0], [3.0, 1.8]],
    }
    assert [t.get_text() for t in loss.get_legend().get_texts()] == ["training", "validation"]
    assert lines(accuracy) == {"accuracy": [[1.0, 0.5], [2.0, 0.7], [3.0, 0.8]]}
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss", "accuracy")
    assert accuracy.get_xlabel() == "epoch"
    styles = [line.get_linestyle() for line in loss.get_lines()]
    assert styles == ["-", "--"]  # they differ in grey


def test_the_rates_of_groups_are_drawn_when_asked_for():
    """Like that of the first; an added group has none before."""

    class Grouped(Fitted):
        def table(self):
            rates = {"lr_0": np.full(3, 0.1), "lr_1": np.array([math.nan, 0.2, 0.02])}
            return {**super().table(), **rates}

    assert list(training_curves(Grouped()).curves) == ["loss", "validation_loss", "accuracy"]
    curves = training_curves(Grouped(), quantities=["lr", "lr_1"])
    assert list(curves.curves) == ["lr", "lr_1"]
    assert lines(curves.axes_[1])["lr_1"][1:] == [[2.0, 0.2], [3.0, 0.02]]
    assert [axes.get_ylabel() for axes in curves.axes_] == ["lr", "lr 1"]


def test_a_history_without_epochs():
    """It is drawn by step, although its table is empty."""

    class Run(Fitted):
        def table(self):
            return {name: column[:0] for name, column in super().table().items()}

    (line,) = training_curves(Run()).ax_.get_lines()
    assert np.array_equal(line.get_ydata(), Run.loss)


def test_a_long_curve_is_smoothed_over_itself():
    """The original line stays, pale."""
    losses = 1.0 + np.random.default_rng(0).random(1000)
    raw, smooth = training_curves(losses).ax_.get_lines()
    assert np.array_equal(raw.get_ydata(), losses)
    assert np.array_equal(smooth.get_ydata(), smoothed(losses))
    assert smooth.get_linewidth() > raw.get_linewidth()


def test_smoothing():
    """It averages from the start, skips nan, and keeps constants."""
    ramp = np.linspace(0.0, 1.0, 1000)
    keep = 0.95
    weights = keep ** np.arange(500)
    for i in (0, 1, 499):
        expected = np.average(ramp[: i + 1], weights=weights[: i + 1][::-1])
        assert smoothed(ramp)[i] == pytest.approx(expected)
    assert smoothed(np.full(300, 7.0)) == pytest.approx(np.full(300, 7.0))
    assert smoothed(np.array([1.0, math.nan, 3.0])).tolist() == [1.0, 1.0, 3.0]


@pytest.mark.parametrize(
    ("losses", "scale"),
    [
        ([1.0, 0.011], "linear"),
        ([1.0, 0.009], "log"),
        ([1.0, 0.0], "linear"),
        ([1.0, -5.0], "linear"),
        ([1.0, math.nan, 0.001], "log"),
        ([math.nan, math.nan], "linear"),
    ],
)
def test_the_scale_is_logarithmic_over_more_than_two_decades(losses, scale):
    """If they are positive."""
    curves = training_curves(losses)
    assert curves.ax_.get_yscale() == scale
    curves.figure_.draw_without_rendering()


def test_it_draws_on_given_axes():
    """The loss on one axes, or each quantity on its own, and chosen quantities."""
    figure = Figure((8.0, 3.0))
    left, right = figure.subplots(1, 2)
    curves = training_curves(Fitted(), ax=right)
    assert (curves.ax_, curves.figure_, right.get_ylabel()) == (right, figure, "loss")
    assert not left.has_data()
    training_curves(Fitted(), ax=left, quantities=["accuracy"])
    assert left.get_ylabel() == "accuracy"
    axes = Figure((8.0, 3.0)).subplots(1, 2)
    training_curves(Fitted(), ax=axes)
    assert [a.get_ylabel() for a in axes] == ["loss", "accuracy"]


@pytest.mark.parametrize(
    ("history", "keywords", "message"),
    [
        ([], {}, "the history is empty; train for a step or more first"),
        ({"loss": []}, {}, "the history is empty; train for an epoch or more first"),
        ({}, {}, "the history is empty; train for an epoch or more first"),
        ([[1.0], [2.0]], {}, r"losses of shape \(2, 1\); pass one for each step"),
        (Fitted(), {"quantities": ["f1"]}, "no 'f1'; choose from loss, lr, accuracy"),
        (Fitted(), {"ax": [None]}, "there is loss, accuracy to draw, on 1 axes; pass an axes"),
    ],
)
def test_impossible_arguments(history, keywords, message):
    """One sentence says what would be possible."""
    with pytest.raises(ValueError, match=message):
        training_curves(history, **keywords)
