"""Activations and gradients by layer."""

import random

import numpy as np
import pytest
from matplotlib.figure import Figure

from liftgrad import losses, nn
from liftgrad.plot import distributions
from liftgrad.plot.layers import with_outputs

X = np.random.default_rng(0).normal(size=(20, 3))
Y = np.arange(20) % 2


class Branching(nn.MLP):
    """Cannot be lifted."""

    def __call__(self, x):
        """Return the outputs, if a Python branch says so."""
        out = super().__call__(x)
        return out if out[0] > -1e9 else None


def network(kind=nn.MLP):
    random.seed(1)
    model = kind(3, [4, 2])
    model.layers[0].neurons[2].b.data = -100.0
    return model


def eager(model, x, y):
    """Return the outputs of all layers, after `backward` from the loss."""
    seen = {}

    def note(name, output):
        return seen.setdefault(name, output)

    losses.cross_entropy(with_outputs(model, note)(x), int(y)).backward()
    return seen


@pytest.mark.parametrize("kind", [nn.MLP, Branching])
def test_activations_are_the_eager_engines(kind):
    """For all samples, units and layers, also of a model that cannot be lifted."""
    model = network(kind)
    picture = distributions(model, X)
    for i, x in enumerate(X.tolist()):
        for name, outputs in eager(model, x, 0).items():
            assert picture.numbers[name][i] == pytest.approx([o.data for o in outputs], rel=1e-12)
    assert {name: x.shape for name, x in picture.numbers.items()} == {
        "layers.0": (20, 4),
        "layers.1": (20, 2),
    }


@pytest.mark.parametrize("kind", [nn.MLP, Branching])
def test_gradients_are_the_eager_engines(kind):
    """Of each sample's loss by each layer's outputs; parameters keep their gradients."""
    model = network(kind)
    picture = distributions(model, X, Y, of="gradients", loss=losses.cross_entropy)
    assert {p.grad for p in model.parameters()} == {0.0}
    for i, (x, y) in enumerate(zip(X.tolist(), Y, strict=True)):
        for name, outputs in eager(model, x, y).items():
            expected = [o.grad for o in outputs]
            assert picture.numbers[name][i] == pytest.approx(expected, rel=1e-9, abs=1e-14)


def test_dead_units_are_said():
    """Those that are 0 for all samples, with the share of zeros."""
    picture = distributions(network(), X, title="Two layers")
    assert picture.dead["layers.0"].tolist() == [2]
    assert picture.dead["layers.1"].tolist() == []
    numbers = picture.numbers["layers.0"]
    first, second = [text.get_text() for text in picture.ax_.texts]
    zeros = f"{np.mean(numbers == 0.0):.0%} are 0"
    mean = f"mean {numbers.mean():.2g}\nstd {numbers.std():.2g}"
    assert first == f"{mean}\n{zeros}\n1 of 4 units dead"
    assert "dead" not in second
    assert [t.get_text() for t in picture.ax_.get_yticklabels()] == ["layers.0", "layers.1"]


@pytest.mark.parametrize("of", ["activations", "gradients"])
def test_histograms(of):
    """One for each layer, over numbers other than 0, scaled to its highest bin."""
    picture = distributions(network(), X, Y, of=of, loss=losses.cross_entropy)
    lines = [patch for patch in picture.ax_.patches if not patch.get_fill()]
    assert [line.get_label() for line in lines] == list(picture.numbers)
    for i, (line, numbers) in enumerate(zip(lines, picture.numbers.values(), strict=True)):
        values, edges, base = line.get_data()
        rest = numbers[numbers != 0.0]
        rest, edges = (rest, edges) if of == "activations" else (np.log(abs(rest)), np.log(edges))
        counts, _ = np.histogram(rest, edges)
        assert counts.sum() >= len(rest) - 1  # log and exp may push the outermost out
        assert base == -i
        assert values + i == pytest.approx(
            0.85 * counts / counts.max(), abs=1e-12 if of == "activations" else 0.2
        )
    assert picture.ax_.get_xscale() == ("linear" if of == "activations" else "log")


def test_a_layer_that_is_used_twice():
    """All its outputs, and their gradients, count as samples of its units."""

    class Twice(nn.Module):
        def __init__(self):
            self.layer = nn.Layer(3, 3)

        def __call__(self, x):
            return self.layer(self.layer(x))

    model = Twice()
    outputs = distributions(model, X).numbers["layer"]
    gradients = distributions(model, X, Y, of="gradients", loss=losses.cross_entropy)
    assert outputs.shape == gradients.numbers["layer"].shape == (40, 3)
    for i, (x, y) in enumerate(zip(X.tolist(), Y, strict=True)):
        first = model.layer(x)
        second = model.layer(first)
        losses.cross_entropy(second, int(y)).backward()
        for row, expected in ((i, first), (20 + i, second)):
            assert outputs[row] == pytest.approx([o.data for o in expected])
            found = gradients.numbers["layer"][row]
            assert found == pytest.approx([o.grad for o in expected], abs=1e-14)


def test_it_draws_on_given_axes():
    """And on a model without activity without a warning."""
    figure = Figure((8.0, 3.0))
    left, right = figure.subplots(1, 2)
    model = nn.Layer(3, 2, init=lambda *_: 0.0)
    picture = distributions(model, X, ax=right)
    assert (picture.ax_, picture.figure_) == (right, figure)
    assert not left.has_data()
    figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ((np.zeros((0, 3)),), {}, r"samples of shape \(0, 3\); pass one or more"),
        ((X,), {"of": "weights"}, "choose 'activations' or 'gradients'"),
        ((X,), {"of": "gradients"}, "need targets y and the loss of an output and a target; pass"),
        (
            (X, Y[:3]),
            {"of": "gradients", "loss": losses.cross_entropy},
            r"20 samples and targets of shape \(3,\); pass one for each",
        ),
        ((X + np.inf,), {}, "of layers.. are not finite; train the model at a smaller rate"),
    ],
)
def test_impossible_arguments(arguments, keywords, message):
    """One sentence says what would be possible."""
    with pytest.raises(ValueError, match=message):
        distributions(network(), *arguments, **keywords)
