"""A model's layers and arrays of parameters."""

import random

import pytest

from liftgrad import Value, nn
from liftgrad.plot.layers import layers, parameter_arrays, with_outputs


class Mixed(nn.Module):
    """Modules and parameters in attributes, lists and dicts."""

    def __init__(self):
        self.table = [[Value(i + 10.0 * j) for i in range(3)] for j in range(2)]
        self.scale = Value(2.0)
        self.parts = {"a": nn.Layer(3, 2), "b": (nn.MLP(2, [4, 1]),)}
        self.ragged = [[Value(1.0)], [Value(2.0), Value(3.0)]]
        self.name = "mixed"

    def __call__(self, x):
        """Return what the modules compute."""
        return self.parts["b"][0](self.parts["a"](x))


def test_layers_are_the_innermost_modules():
    """Above neurons, by the names of their parameters."""
    assert list(layers(nn.MLP(2, [3, 1]))) == ["layers.0", "layers.1"]
    assert list(layers(Mixed())) == ["parts.a", "parts.b.0.layers.0", "parts.b.0.layers.1"]
    layer, neuron = nn.Layer(2, 3), nn.Neuron(2)
    assert layers(layer) == {"model": layer}
    assert layers(neuron) == {"model": neuron}


def test_every_parameter_is_in_one_array():
    """Neurons are rows, and nested lists arrays."""
    model = Mixed()
    arrays = parameter_arrays(model)
    assert {name: array.shape for name, array in arrays.items()} == {
        "table": (2, 3),
        "scale": (),
        "parts.a.w": (2, 3),
        "parts.a.b": (2,),
        "parts.b.0.layers.0.w": (4, 2),
        "parts.b.0.layers.0.b": (4,),
        "parts.b.0.layers.1.w": (1, 4),
        "parts.b.0.layers.1.b": (1,),
        "ragged.0": (1,),
        "ragged.1": (2,),
    }
    assert arrays["table"][1, 2] is model.table[1][2]
    assert arrays["parts.a.w"][1, 0] is model.parts["a"].neurons[1].w[0]
    found = [id(p) for array in arrays.values() for p in array.ravel()]
    assert sorted(found) == sorted(map(id, model.parameters()))


@pytest.mark.parametrize("model", [nn.MLP(3, [4, 2]), nn.Layer(3, 2), nn.Neuron(3), Mixed()])
def test_outputs_are_noted_and_replaced(model):
    """While the model stays as it is."""
    random.seed(0)
    before = {name: id(x) for name, x in vars(model).items()}
    seen = []

    def note(name, output):
        seen.append((name, output))
        return output

    x = [1.0, -2.0, 0.5]
    observed = with_outputs(model, note)(x)
    assert [name for name, _ in seen] == list(layers(model))
    assert seen[-1][1] is observed
    expected = model(x)
    assert str(observed) == str(expected)
    assert {name: id(x) for name, x in vars(model).items()} == before
    replaced = with_outputs(model, lambda name, output: 7.0 if name == seen[-1][0] else output)
    assert replaced(x) == 7.0
