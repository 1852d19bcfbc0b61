"""The network: micrograd's modules, parameters by name, activations and initialisers."""

import json
import math
import random
import statistics
from collections import deque

import numpy as np
import pytest

from liftgrad import Value, gradcheck, lift, nn
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
    """Lists, tuples and rows of NumPy arrays are accepted."""
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
    ("init", "variance"),
    [("uniform", 1 / 3), ("xavier", 2 / 30), ("he", 2 / 10), ("pytorch", 1 / 30)],
)
def test_initialisers_have_their_variance(init, variance):
    """10 inputs and 20 neurons, 20,000 draws: mean 0 and the variance of the paper."""
    draws = [INITIALISERS[init](10, 20) for _ in range(20_000)]
    assert statistics.fmean(draws) == pytest.approx(0.0, abs=0.02)
    assert statistics.pvariance(draws) == pytest.approx(variance, rel=0.05)


def test_an_initialiser_may_be_a_function():
    """It gets the numbers of inputs and of neurons."""
    model = MLP(2, [3, 1], init=lambda fan_in, fan_out: 10 * fan_in + fan_out)
    assert model.layers[0].neurons[0].w[0].data == 23.0
    assert model.layers[1].neurons[0].w[0].data == 31.0


def test_parameters_are_named_by_where_they_are():
    """In the order of the attributes, each once."""
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
    """Shared parameters count once, and stored results are not parameters."""
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
    """Loaded into another model, also through JSON, the arrays give the same outputs."""
    first, second, third = MLP(2, [3, 1]), MLP(2, [3, 1]), MLP(2, [3, 1])
    state = first.state_dict()
    assert {x.dtype for x in state.values()} == {np.dtype("float64")}
    assert state["layers.0.neurons.1.w"].shape == (2,)
    assert state["layers.0.neurons.1.b"].shape == ()
    parameters = second.parameters()
    second.load_state_dict(state)
    second.load_state_dict({name: x.astype(np.longdouble) for name, x in state.items()})
    third.load_state_dict(json.loads(json.dumps({n: x.tolist() for n, x in state.items()})))
    numbers = [p.data for p in first.parameters()]
    assert [p.data for p in second.parameters()] == numbers
    assert [p.data for p in third.parameters()] == numbers
    assert all(a is b for a, b in zip(parameters, second.parameters(), strict=True))


def test_a_state_dict_has_an_array_for_each_rectangle_of_values():
    """Lists of one length are one array; a shared parameter has two names."""
    tied = Tied()
    assert {name: x.shape for name, x in tied.state_dict().items()} == {
        "scale": (),
        "table.a": (1,),
        "table.b.0": (),
        "table.b.1.w": (1,),
        "table.b.1.b": (),
    }

    class Ragged(Module):
        def __init__(self):
            self.rows = [[Value(1.0)], [Value(2.0), Value(3.0)]]
            self.cube = [[[Value(4.0)]] * 2] * 3

    assert {n: x.tolist() for n, x in Ragged().state_dict().items()} == {
        "rows.0": [1.0],
        "rows.1": [2.0, 3.0],
        "cube": [[[4.0]] * 2] * 3,
    }


def test_a_class_may_say_itself_what_its_state_is():
    """Its own named_parameters names the arrays, also within another module."""

    class Half(Module):
        def __init__(self):
            self.numbers = [Value(1.0), Value(2.0)]

        def named_parameters(self):
            yield "first", self.numbers[0]

    class Whole(Module):
        def __init__(self):
            self.half = Half()

    assert Whole().state_dict() == {"half.first": 1.0}


def nested(depth):
    inner = []
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"unknown": 1.0}, ValueError, "has unknown unknown; build the module"),
        ({"layers.0.neurons.0.b": "text"}, TypeError, "is text"),
        (
            {"layers.0.neurons.0.b": [1.0]},
            ValueError,
            r"b in this state_dict is of shape \(1,\) and",
        ),
        (
            {"layers.0.neurons.0.w": np.ones(3)},
            ValueError,
            r"is of shape \(3,\) and the module's is",
        ),
        ({"layers.0.neurons.0.w": [1.0, [2.0]]}, ValueError, "is lists of unequal lengths and"),
        (
            {"layers.0.neurons.0.w": nested(10_000)},
            ValueError,
            "is nested deeply and the module's is of shape",
        ),
    ],
)
def test_a_wrong_state_dict_changes_nothing(change, error, message):
    """Other names, other shapes and what is not a number are refused before the first change."""
    model = MLP(2, [1])
    before = [p.data for p in model.parameters()]
    good = {"layers.0.neurons.0.w": [9.0, 9.0], "layers.0.neurons.0.b": 9.0}
    with pytest.raises(error, match=message):
        model.load_state_dict({**good, **change})
    assert [p.data for p in model.parameters()] == before
    model.load_state_dict(good)
    assert {p.data for p in model.parameters()} == {9.0}


def test_two_names_of_one_parameter_must_agree():
    """Otherwise the result would depend on an invisible order."""
    tied = Tied()
    state = tied.state_dict()
    with pytest.raises(ValueError, match=r"scale and table\.b\.0 are one parameter"):
        tied.load_state_dict({**state, "scale": 3.0})
    tied.load_state_dict({**state, "scale": float("nan"), "table.b.0": float("nan")})
    assert math.isnan(tied.scale.data)


def test_a_state_dict_of_another_size_is_refused():
    """A few missing names are listed."""
    with pytest.raises(ValueError, match=r"it lacks layers\.0\.neurons\.0\.w, .* and 3 more"):
        MLP(2, [3]).load_state_dict({})
    with pytest.raises(TypeError, match="a state_dict is a dictionary, and this is a list"):
        MLP(2, [3]).load_state_dict([1.0])


def test_inner_modules_are_found_and_named():
    """Direct ones and all, within lists and dicts, too, each once."""
    tied, model = Tied(), MLP(2, [1])
    assert [name for name, _ in tied.named_children()] == ["table.b.1"]
    assert list(model.children()) == model.layers
    assert [name for name, _ in model.named_modules()] == ["", "layers.0", "layers.0.neurons.0"]
    model.itself, model.again = model, model.layers[0]
    assert len(list(model.modules())) == 3


def test_a_module_prints_what_is_inside_it():
    """As PyTorch does, unless its class says otherwise."""

    class Model(Module):
        def __init__(self):
            self.body = [Neuron(1), Neuron(2)]

        def extra_repr(self):
            return "two of them"

    assert repr(Module()) == "Module()"
    loop = Module()
    loop.itself = loop
    assert repr(loop) == "Module(\n  (itself): ...\n)"
    assert repr(Model()) == (
        "Model(\n  two of them\n  (body.0): ReLUNeuron(1)\n  (body.1): ReLUNeuron(2)\n)"
    )


def test_train_and_eval_reach_every_module():
    """The mode is set in the module and all submodules, and the module is returned."""
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
        (
            lambda: MLP(2, [1])([1.0, 2.0, 3.0]),
            r"MLP\(2, \[1\]\) takes 2 numbers and got 3; pass 2",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(make, message):
    """Impossible sizes, unknown names and inputs of the wrong length say what to do."""
    with pytest.raises(ValueError, match=message):
        make()


def test_training_learns():
    """A few steps of gradient descent fit xor, the smallest set that a line cannot separate."""
    model = MLP(2, [8, 1], activation="tanh")
    xor = {(0.0, 0.0): -1.0, (0.0, 1.0): 1.0, (1.0, 0.0): 1.0, (1.0, 1.0): -1.0}
    for _ in range(300):
        loss = F.mean([(model(x) - y) ** 2 for x, y in xor.items()])
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= 0.1 * p.grad
    assert all(math.copysign(1.0, model(x).data) == y for x, y in xor.items())


@pytest.mark.parametrize("size", [[64, 64, 10], [500], [16, 16, 1]])
def test_a_network_prints_on_a_screen(size):
    """micrograd's way for its own sizes, and the first neurons of wide layers."""
    text = repr(MLP(2, size))
    assert len(text) < 24 * 80
    assert text.count("Layer of") == len(size)
    if size[0] > 16:
        assert f"ReLUNeuron(2), ... ({size[0]} in all)]" in text or "LinearNeuron" in text


def test_a_long_model_prints_on_a_screen():
    """Equal modules in a row are one line, as in PyTorch; of many others, both ends are shown."""
    blocks = nn.Sequential(*[nn.ReLU() for _ in range(100)], nn.Tanh(), nn.Tanh())
    lines = ["Sequential(", "  (0-99): 100 x ReLU()", "  (100): Tanh()", "  (101): Tanh()", ")"]
    assert repr(blocks).splitlines() == lines
    deep = repr(nn.Sequential(*[m for _ in range(50) for m in (nn.Linear(2, 2), nn.ReLU())]))
    lines = deep.splitlines()
    assert len(lines) == 23
    assert (lines[10], lines[11], lines[12]) == ("  (9): ReLU()", "  ... (80 more)", LINEAR_90)
    apart = Module()
    apart.a, apart.b, apart.c = nn.ReLU(), nn.ReLU(), nn.ReLU()
    assert "(b): ReLU()" in repr(apart)


LINEAR_90 = "  (90): Linear(in_features=2, out_features=2, bias=True)"


class Doubled(nn.Linear):
    """Written as in PyTorch, on top of a layer of ours."""

    def forward(self, x):  # noqa: D102
        return [2.0 * y for y in super().forward(x)]


class Counted(Module):
    """A user's own __call__ around forward()."""

    calls = 0

    def __call__(self, x):  # noqa: D102
        Counted.calls += 1
        return self.forward(x)


class Half(Counted):
    """It stays when a subclass defines forward()."""

    def forward(self, x):  # noqa: D102
        return 0.5 * x


class Mixin:
    """Not a module itself."""

    def forward(self, x):  # noqa: D102
        return 3.0 * x


class Mixed(Mixin, Module):
    """Gets its forward() from elsewhere."""


def test_a_module_is_called_by_its_forward():
    """As in PyTorch: new, on top of a layer, or inherited; __call__ may be kept."""
    layer = Doubled(1, 1)
    layer.load_state_dict({"weight": [[3.0]], "bias": [1.0]})
    for call in (layer, layer.forward, lift(lambda layer, x: layer(x)).__get__(layer)):
        assert [y.data for y in call([5.0])] == [32.0]
    assert nn.Sequential(layer, nn.ReLU())([5.0])[0].data == 32.0
    assert Half()(3.0) == 1.5
    assert Counted.calls == 1
    assert Mixed()(2.0) == 6.0
    assert nn.Linear.forward is nn.Linear.__call__
    with pytest.raises(TypeError, match=r"^Module does not say .* a method forward\(self, x\)"):
        Module()(1.0)


@pytest.mark.parametrize(
    "parts",
    [
        {"conv.weight": Value(1.0), "conv": {"weight": Value(2.0)}},
        {"a": Value(1.0), "a.b": Value(2.0)},
        {"a.b": Value(2.0), "a": Value(1.0)},
        {1: Value(1.0), "1": Value(2.0)},
    ],
)
def test_names_that_coincide_are_refused(parts):
    """A state_dict would hold one of two parameters, or mix them up."""
    model = Module()
    model.parts = parts
    with pytest.raises(ValueError, match="would name two parameters of this module"):
        model.state_dict()
    with pytest.raises(ValueError, match="would name two parameters of this module"):
        model.load_state_dict({})


def test_values_in_a_deque_are_parameters():
    """In the deque's order."""
    model = Module()
    model.recent = deque([Value(1.0), Value(2.0)], maxlen=2)
    assert [name for name, _ in model.named_parameters()] == ["recent.0", "recent.1"]


def test_names_with_dots_and_one_parameter_twice_are_fine():
    """As long as no names coincide."""
    model = Module()
    model.parts = {"a.b": Value(2.0), "a": [Value(1.0)]}
    model.c = model.parts["a.b"]
    model.load_state_dict({name: x + 1.0 for name, x in model.state_dict().items()})
    assert [p.data for p in model.parameters()] == [3.0, 2.0]
