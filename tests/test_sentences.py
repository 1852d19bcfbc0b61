"""The commonest mistakes get a sentence that cures them, on the eager engine and lifted alike."""

import ast
import operator
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import liftgrad
from liftgrad import Value, functional, grad, lift, losses, nn, optim, vmap
from liftgrad.errors import LiftError
from liftgrad.functional import dot

ROWS = np.ones((4, 2))
ONE_OUTPUT = "a layer of one output returns it in a list; write model(x)[0]"


def messages(function, *arguments):
    """Return what a call says, eagerly and lifted."""
    result = []
    for f in (function, lift(function)):
        with pytest.raises((TypeError, ValueError, AttributeError)) as caught:
            f(*arguments)
        result.append(str(caught.value))
    return result


@pytest.mark.parametrize(
    ("layer", "x", "sentence"),
    [
        (nn.MLP(2, [3, 1]), np.ones(3), "MLP(2, [3, 1]) takes 2 numbers and got 3; pass 2, or"),
        (nn.MLP(2, [3, 1]), 1.0, "MLP(2, [3, 1]) takes 2 numbers and got 1"),
        (nn.Layer(2, 3), np.ones(1), "Layer(2, 3) takes 2 numbers and got 1"),
        (nn.Neuron(2), np.ones(1), "Neuron(2) takes 2 numbers and got 1"),
        (nn.Neuron(2), 1.0, "Neuron(2) takes a list of 2 numbers and got one number; pass a list"),
        (nn.Linear(2, 3), np.ones(1), "Linear(2, 3) takes 2 numbers and got 1; pass 2, or make"),
        (nn.Linear(2, 3), 1.0, "Linear takes a list of numbers and got one number"),
        (nn.Softmax(), 1.0, "Softmax takes a list of numbers and got one number"),
        (
            nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(3, 1)),
            np.ones(2),
            "Linear(3, 1) takes 3 numbers and got 4; pass 3, or make the layer for 4.",
        ),
        (nn.LayerNorm(3), np.ones(2), "LayerNorm takes 3 numbers and got 2"),
        (nn.RNN(2, 3), np.ones((5, 1)), "RNN takes 2 numbers at each step and got 1"),
        (nn.LSTM(2, 3), np.ones((5, 1)), "LSTM takes 2 numbers at each step and got 1"),
        (nn.GRU(2, 3), np.ones((5, 1)), "GRU takes 2 numbers at each step and got 1"),
        (nn.Conv2d(2, 1, 1), np.ones((1, 3, 3)), "Conv2d takes 2 channels and got 1"),
        (
            nn.CausalSelfAttention(2, 1),
            np.ones((5, 1)),
            "CausalSelfAttention takes 2 numbers at each position and got 1",
        ),
    ],
)
def test_sizes_that_do_not_fit(layer, x, sentence):
    """The layer is named, what it takes, and what it got."""
    for message in messages(lambda layer, x: layer(x), layer, x):
        assert sentence in message


def test_an_index_that_does_not_fit():
    """The layer is named, and what it was given."""
    layer = nn.Embedding(3, 2)
    with pytest.raises(IndexError, match=r"Embedding\(3, 2\): take\(\) at index 5 of a table of 3"):
        layer([0, 5])
    for index, kind in ((1.0, "a float"), (Value(1.0), "a Value"), (None, "None")):
        with pytest.raises(TypeError, match=rf"Embedding\(3, 2\): .* this is {kind}; pass an int"):
            layer(index)
    with pytest.raises(TypeError, match=r"^take\(\) needs an integer"):
        functional.take([1.0], "0")


@pytest.mark.parametrize("rows", [4, 2])
@pytest.mark.parametrize("layer", [nn.MLP(2, [3, 1]), nn.Layer(2, 3), nn.Neuron(2)])
def test_a_batch_for_a_model_of_one_sample(layer, rows):
    """Also if it has as many samples as one sample has numbers."""
    for message in messages(lambda layer, X: layer(X), layer, ROWS[:rows]):
        assert f"takes one sample, a list of 2 numbers, and got {rows} lists" in message
        assert "[model(x) for x in X], or use vmap(model)(X)" in message


def test_other_errors_in_a_layer_stay_as_they_are():
    """A number that is none, and an inner layer of the user's."""
    for layer in (nn.MLP(2, [1]), nn.Layer(2, 2), nn.Neuron(2)):
        with pytest.raises(TypeError, match="this is None; pass a float"):
            layer([1.0, None])

    class Own(nn.Module):
        def __call__(self, x):
            raise ValueError(f"own {len(x)}")

    model, layer = nn.MLP(2, [1]), nn.Layer(2, 1)
    model.layers = [Own()]
    layer.neurons = [Own()]
    for own in (model, layer):
        with pytest.raises(ValueError, match="own 3"):
            own([1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match="dot takes numbers in a list, and this is a float"):
        dot([1.0], 2.0)


@pytest.mark.parametrize(
    "use",
    [
        lambda y: y - 1.0,
        lambda y: 1.0 - y,
        lambda y: np.float64(1.0) - y,
        lambda y: y + 1.0,
        lambda y: 1.0 + y,
        lambda y: y * 2,
        lambda y: 2 * y,
        lambda y: y / 2.0,
        lambda y: y**2,
        lambda y: -y,
        abs,
        float,
        lambda y: y > 0.0,
        lambda y: y <= 0.0,
        np.exp,
        lambda y: y.data,
        lambda y: y.backward(),
        lambda y: y.relu(),
        lambda y: y.exp(),
    ],
)
def test_a_layer_of_one_output_is_used_as_a_number(use):
    """It is a list in all other respects, and what a lifted function returns of it too."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1), nn.Sigmoid())
    for message in messages(lambda model, x: use(model(x)), model, ROWS[0]):
        assert message.startswith(ONE_OUTPUT)
    with pytest.raises((TypeError, AttributeError), match=re.escape(ONE_OUTPUT)):
        use(lift(lambda model, x: model(x))(model, ROWS[0]))


def test_the_list_of_one_output_is_a_list():
    y = nn.Linear(2, 1)(ROWS[0])
    assert isinstance(y, list)
    assert repr(y) == repr(list(y))
    assert operator.add(y, [2.0]) == [y[0], 2.0] == [*y, 2.0]
    assert operator.add([2.0], y) == [2.0, y[0]]
    assert operator.iadd([2.0], y) == [2.0, y[0]]
    assert pickle.loads(pickle.dumps(y))[0].data == y[0].data
    assert y < [Value(1e9)] <= [Value(1e9)]
    assert not hasattr(y, "shape")
    assert np.array(y).shape == (1,)
    assert len(nn.Linear(2, 2)(ROWS[0]) * 2) == 4


@pytest.mark.parametrize(
    "use",
    [
        lambda v, y: v * y,
        lambda v, y: v - [1.0],
        lambda v, y: functional.sigmoid(y),
        lambda v, y: functional.maximum(y, 0.0),
    ],
)
def test_a_list_is_used_as_a_number(use):
    for message in messages(lambda v, m, x: use(v, m(x)), Value(1.0), nn.Linear(2, 1), ROWS[0]):
        assert message.endswith("this is a list; take an element of it, such as x[0].")


def test_a_list_of_one_output_in_a_loss():
    for use in (
        lambda m, X: losses.mse_loss(m(X[0]), 1.0),
        lambda m, X: losses.hinge([m(x) for x in X], [1.0] * 4),
    ):
        for message in messages(use, nn.Linear(2, 1), ROWS):
            assert "give them one shape, such as model(x)[0] for the one output" in message


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        (lambda v: functional.exp(), "exp() takes one number and got 0; pass one number."),
        (lambda v: functional.exp(1.0, 2.0), "exp() takes one number and got 2"),
        (lambda v: functional.exp(v, v), "exp() takes one number and got 2"),
        (functional.maximum, "maximum() takes 2 numbers and got 1; pass 2 numbers."),
        (functional.total, "total takes numbers in a list, and this is a Value; pass a list"),
        (functional.mean, "mean takes numbers in a list, and this is a Value"),
        (functional.softmax, "softmax takes numbers in a list, and this is a Value"),
        (lambda v: dot([v], v), "dot takes numbers in a list, and this is a Value"),
        (
            lambda v: vmap(abs)(2.0),
            "vmap maps over lists and arrays, and this is a float; give None",
        ),
        (lambda v: vmap(abs)(), "vmap needs an argument to map over"),
        (lambda v: nn.MLP(2, 16), "nouts is a list of each layer's size, and this is an int; pass"),
        (lambda v: nn.Linear("2", 1), "a layer's number of inputs is a whole number, and this is"),
        (
            lambda v: nn.Layer(2, 1.5),
            "a layer's number of neurons is a whole number, and this is a",
        ),
        (lambda v: nn.Sequential([nn.ReLU()]), "not in a list: Sequential(*modules)."),
    ],
)
def test_other_arguments_than_are_taken(use, sentence):
    for message in messages(lambda v: use(v), Value(1.0)):  # noqa: PLW0108, lift takes functions
        assert sentence in message


@pytest.mark.parametrize(
    ("function", "cure"),
    [
        (np.exp, "write functional.exp, of liftgrad.functional, or the method .exp()"),
        (np.tanh, "write functional.tanh"),
        (np.sqrt, "the method .sqrt()"),
        (np.arctan, "write it with functions of liftgrad.functional, or pass .data"),
        (np.sign, "or pass .data, which has no gradient"),
        (lambda v: np.add.outer(v, [1.0]), "NumPy's add is not for Values"),
        (lambda v: np.ones(2).__iadd__(v), "NumPy's add is not for Values"),
        (lambda v: np.ones((2, 2)) @ v, "NumPy's matmul is not for Values"),
    ],
)
def test_a_function_of_numpy(function, cure):
    with pytest.raises(TypeError, match=re.escape(cure)):
        function(Value(1.0))


@pytest.mark.parametrize("number", [np.float64(3.0), np.float32(3.0), np.int64(3), np.array(3.0)])
def test_numbers_of_numpy_on_the_left_of_a_value(number):
    """They ask by NumPy's functions for what Python's numbers ask by operators."""
    v = Value(2.0)
    results = [number + v, number - v, number * v, number / v, number**v]
    assert [y.data for y in results] == [5.0, 1.0, 6.0, 1.5, 9.0]
    for y in results:
        v.grad = 0.0
        y.backward()
        assert v.grad != 0.0
    assert number > v
    assert number >= v
    assert not number < v
    assert not number <= v
    assert number != v
    assert number == Value(3.0)


@pytest.mark.parametrize(
    "use",
    [
        lambda x, v: x * v,
        lambda x, v: x - v,
        lambda x, v: x < v,
        lambda x, v: v * x,
        np.power,
    ],
)
def test_arrays_beside_a_value(use):
    with pytest.raises(TypeError, match=r"an array of shape \(2,\); make a Value of each"):
        use(np.ones(2), Value(1.0))


PRIVATE = re.compile(
    r"(?<!\w)_(?!_init__|backward|children|prev|op\b)\w+"  # micrograd's names are known
    r"|\b(Traced|Lifted|Recorded|Adopted|Variable|OneOutput)"
)


def messages_in(module):
    """Yield the line and the text of each message that a module raises or warns with."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        warns = isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn"
        if isinstance(node, ast.Raise) or warns:
            parts = [x.value for x in ast.walk(node) if isinstance(x, ast.Constant)]
            yield node.lineno, " ".join(x for x in parts if isinstance(x, str))


def test_no_message_has_a_private_name():
    """As far as it is written down in the source; a message names what users know."""
    package = Path(liftgrad.__file__).parent
    found = [
        (str(module.relative_to(package)), line, message)
        for module in sorted(package.rglob("*.py"))
        for line, message in messages_in(module)
    ]
    assert len(found) > 200
    assert [place for place in found if PRIVATE.search(place[2])] == []


@pytest.mark.parametrize(
    ("use", "kind"),
    [
        (lambda v, X: losses.mse_loss(object(), [1.0]), "an object"),
        (lambda v, X: grad(lambda x: X)(v), "an array"),
        (lambda v, X: grad(lambda x: None)(v), "None"),
        (lambda v, X: grad(lambda x: x > 1.0)(v), "a comparison of Values"),
        (lambda v, X: functional.sigmoid([v]), "a list"),
        (lambda v, X: optim.SGD(3, lr=0.1), "an int"),
    ],
)
def test_messages_name_kinds_as_users_know_them(use, kind):
    """Whatever stands for a number or an array while a function is traced."""
    with pytest.raises((TypeError, ValueError, LiftError)) as caught:
        lift(use)(Value(1.0), np.ones(2))
    assert kind in str(caught.value)
    assert not PRIVATE.search(str(caught.value))
