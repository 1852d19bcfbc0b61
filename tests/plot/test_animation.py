"""Decision regions during training, as a GIF."""

import gc
import weakref

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from liftgrad import Value, nn
from liftgrad.lift.source import Source
from liftgrad.plot import BoundaryAnimation

X = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0], [2.0, -1.0]])
Y = np.array([0, 1, 1, 0])


class Threshold:
    """Moves while it is trained."""

    at = 0.5

    def __call__(self, point):
        """Return a score for each of two classes."""
        return [self.at, point[0]]


def test_a_frame_is_what_the_classifier_says_then():
    """As a callback, with any arguments, it counts epochs."""
    model = Threshold()
    film = BoundaryAnimation(model, X, Y, resolution=10)
    film.capture("before")
    for model.at in (1.0, 2.0):
        assert film("an epoch's record") is None
    assert [text for text, _ in film.frames] == ["before", "epoch 2", "epoch 3"]
    for at, (_, regions) in zip((0.5, 1.0, 2.0), film.frames, strict=True):
        assert np.array_equal(regions.prediction, regions.xx0 > at)


class Scaled(nn.Module):
    """A model whose parameter or whose attribute changes."""

    def __init__(self):
        self.at, self.factor = Value(1.0), 1.0

    def __call__(self, point):
        """Return a score for each of two classes."""
        return [self.at * self.factor, point[0]]


def test_a_model_is_traced_for_its_first_frame_only(monkeypatch):
    """As long as it is the same program; its present numbers are used."""
    traced, trace = [], Source.trace
    monkeypatch.setattr(Source, "trace", lambda f, *a: traced.append(f) or trace(f, *a))
    model = Scaled()
    film = BoundaryAnimation(model, X, Y, resolution=10)
    for model.at.data in (0.5, 1.0, 2.0):
        film.capture()
    assert len(traced) == 1
    for model.factor in map(float, range(1, 31)):
        film.capture()
    thresholds = (0.5, 1.0, 2.0, *range(2, 61, 2))
    for threshold, (_, regions) in zip(thresholds, film.frames, strict=True):
        assert np.array_equal(regions.prediction, regions.xx0 > threshold)


def test_a_model_that_was_drawn_is_not_kept_alive():
    """And neither is its program."""
    model = Scaled()
    BoundaryAnimation(model, X, Y, resolution=4).capture()
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None


def test_the_file(tmp_path):
    """It is a small GIF that repeats, with all frames; the last one stays longer."""
    model = Threshold()
    film = BoundaryAnimation(model, X, Y, resolution=10, size=(3.0, 2.4))
    for model.at in (0.5, 1.0, 2.0):
        film.capture(f"at {model.at}")
    film.save(tmp_path / "film.gif", frames_per_second=5, dpi=50)
    with Image.open(tmp_path / "film.gif") as picture:
        assert picture.size == (150, 120)
        assert picture.n_frames >= 3
        assert picture.info["loop"] == 0
        durations, colours = [], []
        for i in range(picture.n_frames):
            picture.seek(i)
            durations.append(picture.info["duration"])
            colours.append(np.asarray(picture.convert("RGB"))[20:100, 40:140].mean(axis=(0, 1)))
    assert durations[0] == 200
    assert sum(durations) == 3 * 200 + 8 * 200
    assert len({tuple(colour) for colour in colours[:3]}) == 3  # frames differ
    assert (tmp_path / "film.gif").stat().st_size < 20_000
    assert [path.name for path in tmp_path.iterdir()] == ["film.gif"]
    assert film.ax_.get_title() == "at 2.0"
    assert len(film.ax_.images) == 1  # earlier regions are gone


def test_on_given_axes(tmp_path):
    """Other axes of the figure are in the animation."""
    figure = Figure((3.0, 2.0))
    left, right = figure.subplots(1, 2)
    left.plot([0.0, 1.0])
    film = BoundaryAnimation(Threshold(), X, Y, ax=right, resolution=4)
    film.capture()
    film.save(tmp_path / "film.gif", dpi=40)
    assert (film.ax_, film.figure_) == (right, figure)
    assert len(left.get_lines()) == 1


def test_each_frame_is_drawn_once(tmp_path):
    """Also the last one, which stays; the figure keeps its resolution and its canvas."""

    class Counted(Line2D):
        draws = 0

        def draw(self, renderer):
            self.draws += 1
            super().draw(renderer)

    figure = Figure((3.0, 2.0), dpi=70)
    canvas = figure.canvas
    left, right = figure.subplots(1, 2)
    line = left.add_line(Counted([0.0, 1.0], [0.0, 1.0]))
    film = BoundaryAnimation(Threshold(), X, Y, ax=right, resolution=4)
    for _ in range(3):
        film.capture()
    film.save(tmp_path / "film.gif", dpi=40)
    assert line.draws == 3
    assert (figure.get_dpi(), figure.canvas) == (70, canvas)


def test_a_failed_save_leaves_the_old_file(tmp_path):
    """Like that of any other file."""
    path = tmp_path / "film.gif"
    path.write_text("the old one")
    film = BoundaryAnimation(Threshold(), X, Y, resolution=4, size=(1e6, 1e6))
    film.capture()
    with pytest.raises(ValueError, match="too large"):
        film.save(path)
    assert path.read_text() == "the old one"


@pytest.mark.parametrize(
    ("name", "keywords", "error", "message"),
    [
        ("film.png", {}, ValueError, "'film.png' is not that of a GIF; end it in .gif"),
        ("none/film.gif", {}, FileNotFoundError, "there is no directory"),
        ("film.gif", {"frames_per_second": 0}, ValueError, "pass a rate from 1 to 50"),
    ],
)
def test_impossible_arguments(tmp_path, name, keywords, error, message):
    """One sentence says what would be possible."""
    film = BoundaryAnimation(Threshold(), X, Y, resolution=4)
    with pytest.raises(ValueError, match="no frames; call it while training, then save it"):
        film.save(tmp_path / name)
    film.capture()
    with pytest.raises(error, match=message):
        film.save(tmp_path / name, **keywords)
    assert not list(tmp_path.iterdir())


def test_a_legend_of_many_classes_leaves_the_regions_their_room(tmp_path):
    """All frames are wide enough for it."""
    random = np.random.default_rng(0)
    points, y = random.normal(size=(60, 2)), np.arange(60) % 30
    names = [f"a class with the name {i}" for i in range(30)]
    film = BoundaryAnimation(
        lambda p: [p[0] * i - p[1] for i in range(30)], points, y, class_names=names, resolution=6
    )
    film()
    film()
    film.save(tmp_path / "a.gif")
    assert film.ax_.get_window_extent().width > 0.4 * 4.8 * film.figure_.dpi
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.width > 1.5 * 480
