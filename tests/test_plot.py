"""Pictures: what is drawn, and that a file is written completely or not at all."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.image import imread

from liftgrad import plot
from liftgrad.engine import Value
from liftgrad.functional import sin
from liftgrad.plot import decision_boundary

X = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0], [2.0, -1.0]])
Y = np.array([-1.0, 1.0, 1.0, -1.0])


def line(point):
    """A score with the boundary x0 + x1 = 1.5."""
    return point[0] + Value(point[1]) - 1.5


def test_it_computes_keeps_and_draws():
    """The grid encloses the points; the response is the score on it, as floats."""
    display = decision_boundary(line, X, Y, resolution=20)
    assert display.xx0.shape == display.xx1.shape == display.response.shape == (20, 20)
    assert display.response == pytest.approx(display.xx0 + display.xx1 - 1.5)
    assert (display.xx0.min() < X[:, 0].min(), display.xx0.max() > X[:, 0].max()) == (True, True)
    assert (display.xx1.min() < X[:, 1].min(), display.xx1.max() > X[:, 1].max()) == (True, True)
    assert display.ax_.get_xlabel() == "$x_0$"
    assert display.ax_.get_ylabel() == "$x_1$"
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["$y = -1$", "$y = +1$", "score = 0", "score = ±1"]


def test_every_point_is_drawn_with_its_class():
    """In two groups that differ by shape."""
    display = decision_boundary(line, X, Y, resolution=5)
    negative, positive = (c for c in display.ax_.collections if c.get_label().startswith("$y"))
    assert np.array_equal(negative.get_offsets(), X[Y < 0])
    assert np.array_equal(positive.get_offsets(), X[Y > 0])
    assert len(negative.get_paths()[0]) != len(positive.get_paths()[0])


def test_the_boundary_lies_where_the_score_is_zero():
    """And the margins where it is ±1."""
    display = decision_boundary(line, X, Y, resolution=20)
    contours = [c for c in display.ax_.collections if isinstance(c, ContourSet)]
    assert [list(c.levels) for c in contours] == [[0.0], [-1.0, 1.0]]
    assert contours[0].get_paths()[0].vertices.sum(axis=1) == pytest.approx(1.5)
    assert min(contours[0].get_linewidth()) > max(contours[1].get_linewidth())


def test_the_classes_differ_in_grey():
    """All of the negative side is darker than all of the positive side."""
    (shading,) = decision_boundary(line, X, Y, resolution=5).ax_.images
    colours = shading.to_rgba(np.array([[-9.0, -2.0, -0.5, -0.01], [0.01, 0.5, 2.0, 9.0]]))
    negative, positive = colours[..., :3] @ [0.299, 0.587, 0.114]
    assert negative.max() < positive.min() - 0.03
    assert np.all(np.diff(negative) >= 0.0)  # the paler, the nearer to the boundary
    assert np.all(np.diff(positive) <= 0.0)


def test_it_draws_on_given_axes():
    """It leaves the rest of their figure alone."""
    figure = Figure((8.0, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    display = decision_boundary(line, X, Y, ax=right, resolution=5, title="A line")
    assert (display.ax_, display.figure_) == (right, figure)
    assert right.get_title() == "A line"
    assert not left.has_data()


@pytest.mark.parametrize(
    ("points", "classes", "score"),
    [
        ([[1.0, 2.0]], [1.0], line),
        (X, Y, lambda _: 0.0),
        (X, Y, lambda _: 5.0),
        (X * [1e6, 1e-6], Y, lambda p: sin(p[0] * 1e-6) * 1e9),
    ],
    ids=["one point", "flat", "one class predicted", "far from square"],
)
def test_extreme_pictures(points, classes, score, tmp_path):
    """They are drawn without a warning, down to the smallest size."""
    for size in ((3.0, 2.5), (12.0, 3.0)):
        display = decision_boundary(score, points, classes, resolution=8, size=size)
        plot.save(display.figure_, tmp_path / "picture.png", dpi=50)
        assert imread(tmp_path / "picture.png").shape[:2] == (size[1] * 50, size[0] * 50)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((line, X, Y[:2]), r"classes of shape \(n,\); got \(4, 2\) and \(2,\)\.$"),
        ((line, X[:0], Y[:0]), r"got \(0, 2\) and \(0,\)\.$"),
        ((line, X, [0, 1, 1, 0]), r"classes of a decision boundary are 1\.0 and -1\.0"),
        ((lambda _: None, X, Y), "the function returns None for a point; let it return"),
        ((lambda _: math.nan, X, Y), r"is not a finite number; train the model at a smaller rate"),
    ],
)
def test_impossible_arguments(arguments, message):
    """One sentence says what would be possible."""
    with pytest.raises(ValueError, match=message):
        decision_boundary(*arguments, resolution=4)


@pytest.mark.parametrize("extension", ["png", "pdf", "svg", "PNG"])
def test_a_picture_is_saved_whole(tmp_path, extension):
    """In the format of its name, with a new file's permissions, and no other file."""
    path = tmp_path / f"picture.{extension}"
    plot.save(decision_boundary(line, X, Y, resolution=4).figure_, path)
    starts = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    assert path.read_bytes().startswith(starts[extension.lower()])
    (tmp_path / "new").touch()
    assert path.stat().st_mode == (tmp_path / "new").stat().st_mode
    (tmp_path / "new").unlink()
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_that_was_not_drawn(tmp_path):
    """There is no figure to save."""
    boundary = plot.DecisionBoundary(*[np.zeros((2, 2))] * 3, X, Y)
    with pytest.raises(ValueError, match=r"call plot\(\) of the picture first"):
        plot.save(boundary.figure_, tmp_path / "picture.png")


def test_a_failed_save_leaves_the_old_picture(tmp_path):
    """And leaves no other file."""
    path = tmp_path / "picture.png"
    path.write_text("the old one")
    figure = Figure((1e6, 1e6))
    with pytest.raises(ValueError, match="too large"):
        plot.save(figure, path)
    assert path.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_saving_follows_links(tmp_path):
    """A link still points to the picture afterwards."""
    (tmp_path / "link.png").symlink_to(tmp_path / "picture.png")
    plot.save(Figure((1, 1)), tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("picture", ValueError, "to write; let it end in .png, .pdf or .svg.$"),
        ("picture.xyz", ValueError, "'picture.xyz' does not say what kind of picture to write"),
        ("directory.png", IsADirectoryError, "is a directory; name a file in it."),
        ("missing/picture.png", FileNotFoundError, "there is no directory '"),
        ("file/picture.png", FileNotFoundError, "there is no directory '"),
    ],
)
def test_what_cannot_be_written_is_known_before(tmp_path, name, error, message):
    """check_path says so, and leaves no trace."""
    (tmp_path / "directory.png").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(error, match=message):
        plot.check_path(tmp_path / name)
    plot.check_path(tmp_path / "possible.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["directory.png", "file"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_the_right_to_write(tmp_path):
    """It is refused with the system's reason."""
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match=r"cannot be written \(Permission denied\)"):
        plot.check_path(tmp_path / "picture.png")


@pytest.mark.process
def test_matplotlib_is_imported_for_the_first_picture():
    """Not with liftgrad.plot; and its global state, pyplot, not at all."""
    program = """
import sys
from liftgrad import plot
assert "matplotlib" not in sys.modules
plot.decision_boundary(lambda p: p[0], [[0, 0], [1, 1]], [1, -1], resolution=3)
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
