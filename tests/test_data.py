"""The data sets."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from liftgrad import data
from liftgrad.data import make_curve, make_moons, make_spirals, make_xor

POINTS = json.loads((Path(__file__).parent / "reference" / "points.json").read_text())


def test_the_points_are_scikit_learns():
    """The points of make_moons(101, noise=0.1, random_state=1337), in their order."""
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
    """And with a seed, none."""
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


@pytest.mark.parametrize("case", POINTS["cases"], ids=lambda case: case["name"])
def test_circles_and_blobs_are_scikit_learns(case):
    """The same points in the same order; the circles' labels are -1 and 1."""
    X, y = getattr(data, case["name"])(**case["arguments"], seed=case["seed"])
    np.testing.assert_allclose(X, case["X"], rtol=1e-12, atol=1e-15)
    expected = np.array(case["y"])
    if case["name"] == "make_circles":
        expected = 2 * expected - 1
    assert y.tolist() == expected.tolist()


@pytest.mark.parametrize("arms", [1, 2, 3, 7])
def test_an_arm_is_another_one_turned(arms):
    """Turned by a fraction of the circle; radius and angle grow together."""
    X, y = make_spirals(arms * 20, arms, noise=0.0, turns=1.5, seed=2)
    assert np.bincount(y).tolist() == [20] * arms
    angle = 2 * np.pi * (1.5 * np.hypot(*X.T) + y / arms)
    np.testing.assert_allclose(X, np.hypot(*X.T)[:, None] * np.c_[np.cos(angle), np.sin(angle)])


def test_the_squares_of_a_board_alternate():
    """Two by two squares are the exclusive or."""
    X, y = data.make_checkerboard(500, squares=3, seed=1)
    column, row = ((X + 1) / 2 * 3).astype(int).T
    assert y.tolist() == np.where((column + row) % 2, 1.0, -1.0).tolist()
    X, y = make_xor(500, seed=1)
    assert y.tolist() == (-np.sign(X[:, 0] * X[:, 1])).tolist()


@pytest.mark.parametrize(
    ("kind", "curve"),
    [
        ("sine", lambda x: np.sin(2 * np.pi * x)),
        ("step", np.sign),
        ("polynomial", lambda x: np.cos(3 * np.arccos(x))),
    ],
)
def test_curves_with_noise_of_the_given_size(kind, curve):
    """On [-1, 1]."""
    X, y = make_curve(2000, kind, noise=0.0, seed=4)
    assert X.shape == (2000, 1)
    assert -1 <= X.min() < -0.99 < 0.99 < X.max() <= 1
    np.testing.assert_allclose(y, curve(X[:, 0]), atol=1e-12)
    noisy = make_curve(2000, kind, noise=0.5, seed=4)[1]
    assert np.std(noisy - y) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: data.make_circles(0), "make_circles needs at least 1 sample; got n_samples=0."),
        (lambda: data.make_circles(factor=1.0), "factor is the inner radius, from 0 to below 1;"),
        (lambda: data.make_blobs(cluster_std=-1.0), "cluster_std is a standard deviation, 0 or"),
        (lambda: data.make_blobs(centers=0), "make_blobs needs 1 centre and 1 feature or more;"),
        (lambda: data.make_blobs(centers=[1.0]), r"centers has the shape (1,); pass a number or"),
        (lambda: make_spirals(arms=0), "a spiral has at least 1 arm; got arms=0."),
        (lambda: make_xor(-1), "make_xor needs at least 1 sample; got n_samples=-1."),
        (lambda: data.make_checkerboard(squares=0), "a board has at least 1 square along each"),
        (lambda: make_curve(kind="line"), "there is no curve 'line'; choose one of sine, step, po"),
    ],
)
def test_sets_that_cannot_be_made(call, message):
    """One sentence says what would be possible."""
    with pytest.raises(ValueError, match=r".") as refused:
        call()
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("load_iris", (150, 4), 3),
        ("load_wine", (178, 13), 3),
        ("load_breast_cancer", (569, 30), 2),
        ("load_digits", (1797, 64), 10),
        ("load_diabetes", (442, 10), None),
    ],
)
def test_bundled_sets_are_scikit_learns(name, shape, classes):
    datasets = pytest.importorskip("sklearn.datasets")
    X, y = getattr(data, name)()
    expected_X, expected_y = getattr(datasets, name)(return_X_y=True)
    assert np.array_equal(X, expected_X)
    assert np.array_equal(y, expected_y)
    assert (X.shape, X.dtype, y.shape) == (shape, np.float64, shape[:1])
    assert y.dtype == (np.float64 if classes is None else np.int64)
    assert classes is None or set(y.tolist()) == set(range(classes))


def test_bundled_sets_say_what_they_need(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"load_iris\(\) reads .* pip install 'liftgrad\[sklearn"):
        data.load_iris()
