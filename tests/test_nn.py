"""The network: micrograd's modules, parameters by name, activations and initialisers."""

import math
import random
import statistics

import numpy as np
import pytest

from liftgrad import Value, gradcheck
from liftgrad import functional as F  # noqa: N812
from liftgrad.init import INITIALISERS
from liftgrad.nn import ACTIVATIONS, MLP, Layer, Module, Neuron


@pytest.fixture(autouse=True)
def _seed():
    random.seed(7)


def test_names_and_reprs_are_micrograds():
    """The import path, the arguments and the reprs of micrograd's README hold."""
    assert repr(Neuron(3)) == "ReLUNeuron(3)"
    assert repr(Neuron(3, nonlin=False)) == "LinearNeuron(3)"
    assert repr(Layer(2, 2)) == "Layer of [ReLUNeuron(2), ReLUNeuron(2)]"
    assert repr(MLP(2, [1, 1])) == "MLP of [Layer of [ReLUNeuron(2)], Layer of [LinearNeuron(1)]]"
    assert repr(Neuron(1, activation="leaky_relu")) == "LeakyReluNeuron(1)"


def test_weights_are_drawn_in_micrograds_order():
    """One random.uniform(-1, 1) for each weight in turn, and biases of zero."""
    random.seed(5)
    expected = [random.uniform(-1, 1) for _ in range(2 * 3 + 3 * 1)]
    random.seed(5)
    model = MLP(2, [3, 1])
    weights = [w.data for layer in model.layers for n in layer.neurons for w in n.w]
    assert weights == expected
    assert all(n.b.data == 0.0 for layer in model.layers for n in layer.neurons)


def test_a_neuron_is_its_formula():
    """act(b + Σ w·x), rounded as micrograd's sum from left to right."""
    n = Neuron(3)
    n.b.data = 0.25
    x = [1.0, -2.0, 3.0]
    chain = n.b
    for w, v in zip(n.w, x, strict=True):
        chain = chain + w * v
    assert n(x).data == chain.relu().data
    assert Neuron(2, nonlin=False)([0.0, 0.0]).data == 0.0


@pytest.mark.parametrize("row", [[1.0, 2.0], (1, 2), np.array([1.0, 2.0]), [Value(1.0), 2.0]])
def test_inputs_may_be_numbers_values_or_arrays(row):
    """Lists, tuples and rows of NumPy arrays are taken."""
    assert isinstance(MLP(2, [3, 1])(row), Value)


def test_shapes_of_outputs():
    """Several neurons give a list, one gives its number, also between layers."""
    assert len(Layer(2, 3)([1.0, 2.0])) == 3
    assert isinstance(Layer(2, 1)([1.0, 2.0]), Value)
    assert isinstance(MLP(2, [1, 1, 1])([1.0, 2.0]), Value)
    assert isinstance(MLP(1, [2, 1])(1.0), Value)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_by_name_has_right_gradients(activation):
    """A small network with each activation passes gradcheck for all parameters."""
    model = MLP(2, [3, 1], activation=activation, init="xavier")
    assert gradcheck(lambda _: model([0.7, -0.4]), model.parameters())
    neuron = model.layers[0].neurons[0]
    linear = neuron.b.data + sum(w.data * x for w, x in zip(neuron.w, [0.7, -0.4], strict=True))
    assert neuron([0.7, -0.4]).data == pytest.approx(getattr(F, activation)(linear))


@pytest.mark.parametrize(
    ("init", "variance"), [("uniform", 1 / 3), ("xavier", 2 / 30), ("he", 2 / 10)]
)
def test_initialisers_have_their_variance(init, variance):
    """10 inputs and 20 neurons, 20,000 draws: mean 0 and the variance of the paper."""
    draws = [INITIALISERS[init](10, 20) for _ in range(20_000)]
    assert statistics.fmean(draws) == pytest.approx(0.0, abs=0.02)
    assert statistics.pvariance(draws) == pytest.approx(variance, rel=0.05)


def test_an_initialiser_may_be_a_function():
    """It is told the numbers of inputs and of neurons."""
    model = MLP(2, [3, 1], init=lambda fan_in, fan_out: 10 * fan_in + fan_out)
    assert model.layers[0].neurons[0].w[0].data == 23.0
    assert model.layers[1].neurons[0].w[0].data == 31.0


def test_parameters_are_named_by_where_they_are():
    """In the order of their attributes, each once."""
    names = [name for name, _ in MLP(2, [1, 1]).named_parameters()]
    assert names == [
        *("layers.0.neurons.0.w.0", "layers.0.neurons.0.w.1", "layers.0.neurons.0.b"),
        *("layers.1.neurons.0.w.0", "layers.1.neurons.0.b"),
    ]


class Tied(Module):
    """Parameters in lists, tuples, dicts and modules; one of them twice; and other things."""

    def __init__(self):
        self.scale = Value(2.0)
        self.table = {"a": [Value(1.0)], "b": (self.scale, Neuron(1))}
        self.cached = self.scale * 2.0
        self.note = "text"
        self.count = 3


def test_parameters_are_found_everywhere_and_once():
    """Shared parameters count once, and stored results are no parameters."""
    tied = Tied()
    names = [name for name, _ in tied.named_parameters()]
    assert names == ["scale", "table.a.0", "table.b.1.w.0", "table.b.1.b"]
    assert len(tied.parameters()) == 4


def test_zero_grad_sets_all_gradients_to_zero():
    """Numbers stay, gradients go."""
    model = MLP(2, [2, 1])
    model([1.0, 2.0]).backward()
    model.zero_grad()
    assert {p.grad for p in model.parameters()} == {0.0}


def test_a_state_dict_restores_a_model():
    """Numbers by name, as plain floats, put into another model give the same outputs."""
    first, second = MLP(2, [3, 1]), MLP(2, [3, 1])
    state = first.state_dict()
    assert all(type(x) is float for x in state.values())
    parameters = second.parameters()
    second.load_state_dict(state)
    assert second([0.3, 0.4]).data == first([0.3, 0.4]).data
    assert all(a is b for a, b in zip(parameters, second.parameters(), strict=True))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"unknown": 1.0}, ValueError, "has unknown unknown; build the module"),
        ({"layers.0.neurons.0.b": "text"}, TypeError, "is text"),
    ],
)
def test_a_wrong_state_dict_changes_nothing(change, error, message):
    """Unknown names and what is no number are refused before the first change."""
    model = MLP(2, [1])
    before = model.state_dict()
    with pytest.raises(error, match=message):
        model.load_state_dict({**dict.fromkeys(before, 9.0), **change})
    assert model.state_dict() == before


def test_a_state_dict_of_another_size_is_refused():
    """Missing names are named, a few of them."""
    with pytest.raises(ValueError, match=r"it lacks layers\.0\.neurons\.0\.w\.0, .* and 6 more"):
        MLP(2, [3]).load_state_dict({})


def test_train_and_eval_reach_every_module():
    """The mode is set here and in all modules inside, and the module is returned."""
    model = MLP(2, [2, 1])
    assert model.training
    assert model.eval() is model
    assert not model.layers[1].neurons[0].training
    assert model.train().layers[0].training
    assert len(model.parameters()) == 9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Neuron(0), "cannot have 0 inputs; pass 1 or more"),
        (lambda: Layer(2, 0), "cannot have 0 neurons; pass 1 or more"),
        (lambda: MLP(2, []), "needs at least one layer; pass sizes"),
        (lambda: Neuron(2, activation="rely"), "no activation called 'rely'; choose from relu, "),
        (lambda: MLP(2, [1], init="xavir"), "no initialiser called 'xavir'; choose from uniform"),
        (lambda: MLP(2, [1])([1.0, 2.0, 3.0]), "got 2 and 3 numbers"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(make, message):
    """Impossible sizes, unknown names and inputs of the wrong length say what to do."""
    with pytest.raises(ValueError, match=message):
        make()


def test_training_learns():
    """A few steps of gradient descent fit xor, the smallest thing a line cannot."""
    model = MLP(2, [8, 1], activation="tanh")
    xor = {(0.0, 0.0): -1.0, (0.0, 1.0): 1.0, (1.0, 0.0): 1.0, (1.0, 1.0): -1.0}
    for _ in range(300):
        loss = F.mean([(model(x) - y) ** 2 for x, y in xor.items()])
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= 0.1 * p.grad
    assert all(math.copysign(1.0, model(x).data) == y for x, y in xor.items())
