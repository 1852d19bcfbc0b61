"""Weights: which arrays are drawn, and how."""

import random

import numpy as np
import pytest
from matplotlib.figure import Figure

from liftgrad import Value, nn
from liftgrad.plot import weights
from liftgrad.plot.weights import tiles


def test_each_layer_has_axes():
    """With a row for each neuron, and white at 0."""
    random.seed(0)
    model = nn.MLP(3, [4, 2])
    picture = weights(model, title="Two layers")
    assert list(picture.arrays) == ["layers.0.w", "layers.1.w"]
    for layer, axes, array in zip(
        model.layers, picture.axes_, picture.arrays.values(), strict=True
    ):
        expected = [[w.data for w in neuron.w] for neuron in layer.neurons]
        assert array.tolist() == expected
        (image,) = axes.images
        assert image.get_array().tolist() == expected
        limit = np.abs(expected).max()
        assert image.get_clim() == (-limit, limit)
        assert image.to_rgba(np.array([0.0]))[0] == pytest.approx([1.0, 1.0, 1.0, 1.0], abs=0.02)
        grey = image.to_rgba(np.array([-limit, limit]))[:, :3] @ [0.299, 0.587, 0.114]
        assert grey[0] < grey[1] - 0.2
    assert [a.get_title() for a in picture.axes_] == ["layers.0.w", "layers.1.w"]


def test_one_layer_on_given_axes():
    """Also an array of numbers or Values."""
    figure = Figure((8.0, 3.0))
    left, right = figure.subplots(1, 2)
    picture = weights(nn.MLP(3, [4, 2]), ax=right, layer="layers.1")
    assert (picture.ax_, picture.figure_) == (right, figure)
    assert list(picture.arrays) == ["layers.1.w"]
    assert not left.has_data()
    assert weights([[Value(1.0), Value(2.0)]], ax=left).arrays["weights"].tolist() == [[1.0, 2.0]]


def test_images():
    """Neurons with as many inputs as pixels are tiles of a grid, separated by nan."""
    rows = np.arange(18.0).reshape(3, 6)
    picture = weights(rows, image_shape=(2, 3))
    assert tiles(rows, (2, 3)).shape == (2, 11)
    drawn = picture.ax_.images[0].get_array()
    assert drawn[:, 4:7].tolist() == [[6.0, 7.0, 8.0], [9.0, 10.0, 11.0]]
    assert np.ma.getmaskarray(np.ma.masked_invalid(drawn))[:, [3, 7]].all()
    model = nn.MLP(6, [5, 4])
    assert list(weights(model, image_shape=(2, 3)).arrays) == ["layers.0.w"]


@pytest.mark.parametrize(
    ("model", "keywords", "message"),
    [
        ([1.0, 2.0], {}, r"weights of shape \(2,\); pass a model or \(neurons, inputs\)"),
        (nn.Neuron(2), {}, "no weights in rows to draw; choose another model"),
        (nn.MLP(2, [3, 1]), {"layer": "x"}, "'x'; choose from layers.0.w, layers.1.w"),
        (nn.MLP(2, [3, 1]), {"image_shape": (8, 8)}, "no neurons with 64 inputs to draw"),
        (nn.MLP(2, [3, 1]), {"ax": [None]}, "on 1 axes; pass an axes for each"),
        ([[np.nan, 1.0]], {}, "weights that are not finite; train at a smaller rate"),
    ],
)
def test_impossible_arguments(model, keywords, message):
    """One sentence says what would be possible."""
    with pytest.raises(ValueError, match=message):
        weights(model, **keywords)
