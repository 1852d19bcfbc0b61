"""Decision regions: any number of classes, two features or many."""

import random

import numpy as np
import pytest
from matplotlib.cbook import is_math_text
from matplotlib.collections import PathCollection
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

from liftgrad import nn, plot
from liftgrad.plot import decision_regions
from liftgrad.plot.classes import class_styles, region_colours
from liftgrad.plot.plane import plane_of

X = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0], [2.0, -1.0]])
Y = np.array([0, 1, 2, 2])


def thirds(point):
    """Scores of three classes; the boundaries are x1 = 1, x0 = 1.5 and a diagonal."""
    return [0.0, point[1] - 1.0, point[0] - 1.5]


def test_each_point_belongs_to_the_class_with_the_highest_score():
    """In the result and in the picture."""
    regions = decision_regions(thirds, X, Y, resolution=20)
    scores = np.stack([0 * regions.xx0, regions.xx1 - 1.0, regions.xx0 - 1.5], axis=-1)
    assert regions.response == pytest.approx(scores)
    assert np.array_equal(regions.prediction, scores.argmax(axis=-1))
    (image,) = regions.ax_.images
    drawn = image.get_array()[::4, ::4]  # the pixels at the grid's points
    assert np.array_equal(drawn, regions.prediction)


def test_boundaries_lie_where_the_two_highest_scores_are_equal():
    """One line around each class."""
    regions = decision_regions(thirds, X, Y, resolution=40)
    contours = [c for c in regions.ax_.collections if isinstance(c, ContourSet)]
    assert len(contours) == 3
    for contour in contours:
        for x0, x1 in np.concatenate([path.vertices for path in contour.get_paths()]):
            highest, second = sorted([0.0, x1 - 1.0, x0 - 1.5])[:0:-1]
            assert highest == pytest.approx(second, abs=0.05)


def test_every_point_is_drawn_with_its_class():
    """In groups that differ by marker and colour, and are named in the legend."""
    regions = decision_regions(thirds, X, Y, resolution=5, class_names=["a", "b", "c"])
    groups = [c for c in regions.ax_.collections if isinstance(c, PathCollection)]
    for i, group in enumerate(groups):
        assert np.array_equal(group.get_offsets(), X[i == Y])
    assert [t.get_text() for t in regions.ax_.get_legend().get_texts()] == ["a", "b", "c"]
    assert len({tuple(g.get_facecolor()[0]) for g in groups}) == 3
    assert len({g.get_paths()[0].vertices.tobytes() for g in groups}) == 3


def test_the_legend_has_names_as_they_are():
    """Also one that begins with an underscore, and prices, which are not formulas."""
    regions = decision_regions(thirds, X, Y, resolution=5, class_names=["_a", "b", "c"])
    assert [t.get_text() for t in regions.ax_.get_legend().get_texts()] == ["_a", "b", "c"]
    labels = np.array(["$0-$50", "$50-$100", "_none"])[Y]
    regions = decision_regions(thirds, X, labels, resolution=5)
    texts = [t.get_text() for t in regions.ax_.get_legend().get_texts()]
    assert texts == [r"\$0-\$50", r"\$50-\$100", "_none"]
    assert not any(is_math_text(text) for text in texts)


class Estimator:
    """scikit-learn's methods, on arrays."""

    classes_ = np.array(["left", "right"])

    def __init__(self, *methods):
        """Have only these methods."""
        for method in methods:
            setattr(self, method, getattr(self, f"_{method}"))

    def _predict(self, points):
        return self.classes_[(points[:, 0] > 1.5).astype(int)]

    def _predict_proba(self, points):
        right = 1.0 / (1.0 + np.exp(1.5 - points[:, 0]))
        return np.column_stack([1.0 - right, right])


@pytest.mark.parametrize(
    ("predictor", "labels"),
    [
        (Estimator("predict"), ["left", "right"]),
        (Estimator("predict_proba", "predict"), ["left", "right"]),
        (lambda p: "right" if p[0] > 1.5 else "left", ["left", "right"]),
        (lambda p: p[0] - 1.5, [-1, 1]),
        (lambda p: 1 if p[0] > 1.5 else -1, [-1.0, 1.0]),
        (lambda p: [0.0, p[0] - 1.5], [0, 1]),
        (lambda p: [0.0, p[0] - 1.5], [False, True]),
        (lambda p: [0.0, p[0] - 1.5], ["x", "y"]),
    ],
)
def test_what_may_predict(predictor, labels):
    """Estimators, and functions of a point that return a class, scores, or a signed score."""
    y = np.array(labels)[(X[:, 0] > 1.5).astype(int)]
    regions = decision_regions(predictor, X, y, resolution=10)
    assert np.array_equal(regions.prediction, regions.xx0 > 1.5)
    assert regions.classes.tolist() == labels
    assert np.array_equal(regions.y, X[:, 0] > 1.5)


def test_an_estimator_says_which_class_a_column_is():
    """Also if its classes are not sorted."""
    estimator = Estimator("predict_proba")
    estimator.classes_ = np.array(["right", "left"])
    y = np.where(X[:, 0] > 1.5, "left", "right")
    regions = decision_regions(estimator, X, y, resolution=10)
    assert regions.classes.tolist() == ["left", "right"]
    assert np.array_equal(regions.prediction == 0, regions.xx0 > 1.5)


def test_a_model_is_asked_for_all_points_at_once():
    """And gives the scores that the eager engine gives for each."""
    random.seed(0)
    model = nn.MLP(4, [5, 3])
    points = np.random.default_rng(0).normal(size=(30, 4))
    regions = decision_regions(model, points, np.arange(30) % 3, resolution=4)
    coordinates = np.stack([regions.xx0, regions.xx1], axis=-1)
    for i, j in np.ndindex(4, 4):
        point = regions.plane.points(coordinates[i, j])
        eager = [score.data for score in model(point)]
        assert regions.response[i, j] == pytest.approx(eager, rel=1e-12)


def test_two_features_of_many():
    """The others are at their means, as the picture says."""
    points = np.random.default_rng(0).normal(size=(30, 4))
    seen = []

    def predictor(point):
        seen.append(point)
        return int(point[3] > point[1])

    regions = decision_regions(
        *(predictor, points, points[:, 3] > points[:, 1]),
        features=(3, 1),
        feature_names=["a", "b", "c", "d"],
        resolution=6,
    )
    assert np.array(seen)[:, [0, 2]] == pytest.approx(
        np.tile(points[:, [0, 2]].mean(axis=0), (36, 1))
    )
    assert np.array(seen)[:, 3] == pytest.approx(regions.xx0.ravel())
    assert np.allclose(regions.X, points[:, [3, 1]])
    assert regions.ax_.get_xlabel() == "d\nthe other 2 features at their mean"
    assert regions.ax_.get_ylabel() == "b"


def test_principal_components():
    """They are scikit-learn's, with signs and the share of the variance, which the picture has."""
    decomposition = pytest.importorskip("sklearn.decomposition")
    points = np.random.default_rng(1).normal(size=(40, 5)) * [3.0, 1.0, 0.5, 2.0, 0.1] + 7.0
    pca = decomposition.PCA(2).fit(points)
    plane = plane_of(points)
    assert plane.directions == pytest.approx(pca.components_)
    assert plane.coordinates(points) == pytest.approx(pca.transform(points))
    share = pca.explained_variance_ratio_
    assert plane.labels == (f"component 1 ({share[0]:.0%})", f"component 2 ({share[1]:.0%})")
    said = f"other components at their mean; the plane holds {share.sum():.0%} of the variance"
    assert plane.note == said
    # What lies in the plane is where it was.
    inside = plane.points(np.array([[1.0, -2.0]]))
    assert plane.coordinates(inside) == pytest.approx(np.array([[1.0, -2.0]]))


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_regions_differ_in_grey(count):
    """By lightness, evenly; and points by marker."""
    grey = np.sort(region_colours(count) @ [0.299, 0.587, 0.114])
    assert np.diff(grey).min() == pytest.approx((grey[-1] - grey[0]) / (count - 1), abs=0.01)
    assert grey[-1] - grey[0] > 0.15
    assert len({style["marker"] for style in class_styles(count)}) == count


def test_many_classes():
    """They repeat colours with other markers, and have a legend beside the picture."""
    points = np.random.default_rng(2).normal(size=(50, 2))
    regions = decision_regions(
        lambda p: [float(i) * p[0] for i in range(25)], points, np.arange(50) % 25
    )
    styles = class_styles(25)
    assert len({(s["color"], s["marker"]) for s in styles}) == 25
    assert len(regions.ax_.get_legend().get_texts()) == 25
    regions.figure_.draw_without_rendering()


def test_it_draws_on_given_axes():
    """It leaves the rest of their figure alone."""
    figure = Figure((8.0, 3.0))
    left, right = figure.subplots(1, 2)
    regions = decision_regions(thirds, X, Y, ax=right, resolution=5, title="Thirds")
    assert (regions.ax_, regions.figure_, right.get_title()) == (right, figure, "Thirds")
    assert not left.has_data()


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "message"),
    [
        ((thirds, X, Y[:2]), {}, ValueError, r"got \(4, 2\) and \(2,\)\.$"),
        ((thirds, X[:, :1], Y), {}, ValueError, "2 features or more, and there is one; add"),
        ((thirds, X + np.inf, Y), {}, ValueError, "not finite; drop or replace them"),
        ((lambda p: [0.0] * 5, X, Y + 5), {}, ValueError, "5 scores and there are 3 classes"),
        ((lambda p: [0.0] * (1 + (p[0] > 1)), X, Y), {}, ValueError, "more scores for some"),
        ((lambda p: p[0], X, Y), {}, ValueError, "one number that is no class; return a score"),
        ((lambda p: p[0] * np.nan, X, Y), {}, ValueError, "is not finite; train at a smaller"),
        ((thirds, np.zeros((101, 2)), np.arange(101) / 7), {}, ValueError, "101 different labels"),
        ((lambda _: 3, X, Y), {"class_names": "abc"}, ValueError, "the predictor knows 4 classes"),
        ((lambda _: "a", X, Y), {}, ValueError, "not like the class"),
        ((3, X, Y), {}, TypeError, "a int does not classify points; pass a function"),
        ((thirds, X, Y), {"features": (0, 2)}, ValueError, "indices of two features, from 0 to 1"),
        ((thirds, X, Y), {"features": (1, 1)}, ValueError, "one and the same"),
        ((thirds, X, Y), {"class_names": ["a"]}, ValueError, "1 class names for 3 classes"),
        ((thirds, X, Y), {"feature_names": ["a"]}, ValueError, "1 feature names for 2 features"),
        ((thirds, X, Y), {"resolution": 1}, ValueError, "at least 2 points either way"),
    ],
)
def test_impossible_arguments(arguments, keywords, error, message):
    """One sentence says what would be possible."""
    with pytest.raises(error, match=message):
        decision_regions(*arguments, **{"resolution": 4, **keywords})


def test_a_boundary_of_many_scores_is_refused():
    """With the name of the picture that shows them."""
    with pytest.raises(ValueError, match="there are 3; draw them with decision_regions"):
        plot.decision_boundary(thirds, X, [1, 1, -1, -1], resolution=3)


class Recorder:
    """A classifier that was fitted to a data frame, and records its inputs."""

    feature_names_in_ = np.array(["u", "v"], object)

    def predict(self, rows):
        """Tell on which side of u = 0 rows are."""
        self.asked = rows
        return (np.asarray(rows)[:, 0] > 0.0).astype(int)


def test_a_classifier_of_data_frames_is_asked_with_their_names():
    """Even if the points are an array; the axes have these names."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"u": [-1.0, 1.0, 2.0], "v": [0.0, 1.0, 0.5]})
    for points in (frame, frame.to_numpy()):
        recorder = Recorder()
        regions = decision_regions(recorder, points, [0, 1, 1], resolution=5)
        assert recorder.asked.columns.tolist() == ["u", "v"]
        assert len(recorder.asked) == 25
    assert decision_regions(thirds, frame, [0, 1, 2], resolution=5).ax_.get_xlabel() == "u"
    assert regions.ax_.get_xlabel() == "$x_{0}$"


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (np.str_("cat"), np.str_("dog")),
        (np.bytes_(b"cat"), np.bytes_(b"dog")),
        (np.datetime64("2020-01-01"), np.datetime64("2021-01-01")),
        (np.bool_(False), np.bool_(True)),
        (np.int64(3), np.int64(7)),
    ],
)
def test_labels_of_numpys_are_labels(low, high):
    """Whatever their type; text of NumPy's has a float() that fails."""
    y = np.array([low, high, high, high])
    regions = decision_regions(lambda p: high if p[0] > 0.5 else low, X, y, resolution=10)
    assert regions.classes.tolist() == [low.item(), high.item()]
    assert set(regions.prediction.ravel().tolist()) == {0, 1}
    # As from predict([p]).
    other = decision_regions(lambda p: np.array([high if p[0] > 0.5 else low]), X, y, resolution=10)
    assert np.array_equal(other.prediction, regions.prediction)


def test_a_function_that_returns_nothing_is_refused():
    """In a sentence."""
    with pytest.raises(ValueError, match="returns None for a point; let it return a label"):
        decision_regions(lambda _p: None, X, np.array([0, 1, 1, 1]), resolution=3)


def test_a_list_of_one_score_is_a_score():
    """As from a model of layers with one output, which both pictures draw."""
    y = np.array([-1, 1, 1, 1])
    single = decision_regions(lambda p: p[0] - 0.5, X, y, resolution=6)
    listed = decision_regions(lambda p: [p[0] - 0.5], X, y, resolution=6)
    assert np.array_equal(single.response, listed.response)
    model = nn.Sequential(nn.Linear(2, 1))
    regions = decision_regions(model, X, y, resolution=6)
    boundary = plot.decision_boundary(model, X, y, resolution=6)
    assert boundary.response == pytest.approx(regions.response[..., 1])


@pytest.mark.parametrize("name", ["c{}", "a long name of class {}"])
def test_thirty_classes_and_a_title_fit_the_picture(name):
    """Nothing is cut off, and the regions are as large as without a legend."""
    random = np.random.default_rng(0)
    y = np.arange(90) % 30
    points = random.normal(size=(30, 4))[y] + random.normal(size=(90, 4)) / 9
    regions = decision_regions(
        *(lambda p: [p[0] * i - p[1] for i in range(30)], points, y),
        class_names=[name.format(i) for i in range(30)],
        title="a column with a long name: accuracy 96.7% on 1,300 held-out rows",
        resolution=8,
    )
    figure, ax = regions.figure_, regions.ax_
    figure.draw_without_rendering()
    for artist in (ax.title, ax.xaxis.label, ax.yaxis.label, ax.get_legend()):
        box = artist.get_window_extent()
        assert 0.0 <= box.x0 < box.x1 <= figure.bbox.width
        assert 0.0 <= box.y0 < box.y1 <= figure.bbox.height
    assert ax.get_window_extent().width > 0.4 * 5.6 * figure.dpi
