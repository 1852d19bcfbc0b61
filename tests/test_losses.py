"""The losses, as scalar programs."""

import pytest

from liftgrad.data import make_moons
from liftgrad.engine import Value
from liftgrad.gradcheck import gradcheck
from liftgrad.losses import hinge, l2
from liftgrad.nn import MLP


def test_hinge_asks_for_a_margin_of_one():
    """A score beyond it costs nothing, inside it or on the wrong side linearly."""
    assert hinge([1.0], [1.0]) == 0.0
    assert hinge([-5.0], [-1.0]) == 0.0
    assert hinge([0.25], [1.0]) == 0.75
    assert hinge([2.0], [-1.0]) == 3.0
    assert hinge([1.0, -5.0, 0.25, 2.0], [1.0, -1.0, 1.0, -1.0]) == (0.75 + 3.0) / 4


def test_hinge_takes_arrays_as_targets():
    """Values times NumPy's numbers are Values."""
    X, y = make_moons(10, seed=0)
    model = MLP(2, [1])
    loss = hinge([model(x) for x in X], y)
    assert isinstance(loss, Value)
    assert loss.data == hinge([model(x).data for x in X], y.tolist())


def test_l2_is_the_sum_of_squares():
    """Times the factor; micrograd's by default."""
    assert l2([1.0, -2.0]) == 5e-4
    weight = Value(3.0)
    l2([weight], factor=0.5).backward()
    assert weight.grad == 3.0


def test_the_gradients_are_right():
    """Of a whole loss, at points off the kinks."""
    scores = [0.3, -0.8, 2.5, -1.7]
    assert gradcheck(lambda s: hinge(s, [1.0, 1.0, -1.0, -1.0]), scores)
    assert gradcheck(lambda p: l2(p, 0.3), scores)


def test_scores_and_targets_pair_up():
    """Too few targets, or nothing at all, is an error of one sentence."""
    with pytest.raises(ValueError, match=r"^hinge needs a target for each score; got 2 scores"):
        hinge([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="no numbers"):
        hinge([], [])
