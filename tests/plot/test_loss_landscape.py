"""The loss around a solution."""

import random

import numpy as np
import pytest
from matplotlib.figure import Figure

from liftgrad import lift, nn
from liftgrad.plot import loss_landscape
from liftgrad.plot.layers import parameter_arrays
from liftgrad.plot.loss_landscape import filter_normalised

X = np.random.default_rng(0).normal(size=(10, 2))
Y = X[:, 0] - 2.0 * X[:, 1]


def loss(model, X, y):
    return sum((model(x) - t) ** 2 for x, t in zip(X, y, strict=True)) / len(X)


def network():
    random.seed(0)
    return nn.MLP(2, [3, 1])


@pytest.mark.parametrize("of", [loss, lift(loss)], ids=["eager", "lifted"])
def test_the_response_is_the_loss_at_moved_parameters(of):
    """As the eager engine computes it."""
    model = network()
    landscape = loss_landscape(of, model, X, Y, resolution=3, span=0.5)
    rows = [p for a in parameter_arrays(model).values() if a.ndim == 2 for p in a.ravel()]
    start = [p.data for p in rows]
    assert landscape.centre == landscape.response[1, 1] == pytest.approx(loss(model, X, Y).data)
    for i, j in np.ndindex(3, 3):
        for k, parameter in enumerate(rows):
            d0, d1 = landscape.directions[:, k]
            parameter.data = start[k] + 0.5 * (j - 1) * d0 + 0.5 * (i - 1) * d1
        assert landscape.response[i, j] == pytest.approx(loss(model, X, Y).data, rel=1e-12)


def test_directions_have_the_norms_of_neurons():
    """They differ between seeds and from each other, and leave biases alone."""
    model = network()
    parameters, directions = filter_normalised(model, 0)
    biases = {id(n.b) for layer in model.layers for n in layer.neurons}
    assert not biases & set(map(id, parameters))
    start = 0
    for neuron in [n for layer in model.layers for n in layer.neurons]:
        stop = start + len(neuron.w)
        assert [id(p) for p in parameters[start:stop]] == [id(w) for w in neuron.w]
        norm = np.linalg.norm([w.data for w in neuron.w])
        assert np.linalg.norm(directions[:, start:stop], axis=1) == pytest.approx([norm, norm])
        start = stop
    assert start == len(parameters)
    assert not np.allclose(*directions)
    assert not np.allclose(directions, filter_normalised(model, 1)[1])


def test_parameters_are_the_same_afterwards():
    """Bit for bit, also when the loss raises in between."""
    model = network()
    before = [p.data for p in model.parameters()]
    loss_landscape(lift(loss), model, X, Y, resolution=4)
    assert [p.data for p in model.parameters()] == before
    calls = []

    def failing(model, X, y):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return loss(model, X, y)

    with pytest.raises(KeyboardInterrupt):
        loss_landscape(failing, model, X, Y, resolution=4)
    assert [p.data for p in model.parameters()] == before


@pytest.mark.parametrize(
    "of",
    [
        loss,
        lambda model: 3.0,
        lambda model: -1.0 - model.w[0].data ** 2,
        lambda model: 10.0 ** (8.0 * model.w[0].data),
        lambda model: float("inf") if model.w[0].data > 0.1 else 1.0 + model.w[1].data ** 2,
    ],
    ids=["usual", "flat", "negative", "many decades", "partly infinite"],
)
def test_extreme_landscapes(of):
    """They are drawn without a warning, on given axes, with the solution's loss."""
    random.seed(0)
    figure = Figure((8.0, 3.0))
    left, right = figure.subplots(1, 2)
    data = (X, Y) if of is loss else ()
    landscape = loss_landscape(of, nn.Neuron(2), *data, ax=right, resolution=5, title="Around")
    assert (landscape.ax_, landscape.figure_, right.get_title()) == (right, figure, "Around")
    assert not left.has_data()
    (said,) = [text.get_text() for text in right.get_legend().get_texts()]
    assert said == f"solution, loss {landscape.centre:.3g}"
    figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("model", "keywords", "message"),
    [
        (nn.Neuron(2), {"resolution": 1}, "at least 2 points either way"),
        (nn.Neuron(2), {"span": 0.0}, "pass how far to go, a positive number"),
        (nn.Module(), {}, "no weights to vary"),
    ],
)
def test_impossible_arguments(model, keywords, message):
    """One sentence says what would be possible."""
    with pytest.raises(ValueError, match=message):
        loss_landscape(lambda _: 1.0, model, **keywords)


def test_a_loss_that_is_finite_nowhere():
    """It is refused."""
    with pytest.raises(ValueError, match="not finite anywhere here; pass a smaller span"):
        loss_landscape(lambda _: float("nan"), nn.Neuron(2), resolution=2)
