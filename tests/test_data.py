"""The data sets."""

import numpy as np
import pytest

from liftgrad.data import make_moons


def test_the_points_are_scikit_learns():
    """make_moons(101, noise=0.1, random_state=1337): these points, in this order."""
    X, y = make_moons(101, noise=0.1, seed=1337)
    # Sines and cosines may differ in the last bit from one processor to the next.
    assert X[:3].ravel().tolist() == pytest.approx(
        [
            *(1.1221146075409685, 0.08147717341718697),
            *(-0.8208840203333327, -0.005280156072763112),
            *(1.6703773981476393, -0.06891500897575875),
        ],
        rel=1e-12,
    )
    assert X[-1].tolist() == pytest.approx([0.056116335264816304, 0.9914241201451414], rel=1e-12)
    assert y[:8].tolist() == [-1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(("n", "upper", "lower"), [(100, 50, 50), (7, 3, 4), (1, 0, 1), (2, 1, 1)])
def test_the_moons_share_the_points_evenly(n, upper, lower):
    """Of an odd number the lower moon has one more, as in scikit-learn."""
    X, y = make_moons(n, seed=0)
    assert X.shape == (n, 2)
    assert (np.sum(y == -1.0), np.sum(y == 1.0)) == (upper, lower)


def test_without_noise_the_points_lie_on_the_half_circles():
    """Of radius 1, around (0, 0) above and (1, 1/2) below."""
    X, y = make_moons(50, noise=0.0, seed=3)
    assert np.hypot(*X[y < 0].T) == pytest.approx(1.0)
    assert np.hypot(*(X[y > 0] - [1.0, 0.5]).T) == pytest.approx(1.0)
    assert X[y < 0, 1].min() > -1e-15
    assert X[y > 0, 1].max() < 0.5 + 1e-15


def test_without_a_seed_every_call_differs():
    """And with one, none."""
    assert not np.array_equal(make_moons()[0], make_moons()[0])
    assert np.array_equal(make_moons(seed=5)[0], make_moons(seed=5)[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_samples": 0}, "make_moons needs at least 1 sample; got n_samples=0."),
        ({"noise": -0.1}, "noise is a standard deviation, 0 or more; got noise=-0.1."),
        ({"noise": float("nan")}, "noise is a standard deviation, 0 or more; got noise=nan."),
    ],
)
def test_impossible_arguments(arguments, message):
    """One sentence says what would be possible."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        make_moons(**arguments)
