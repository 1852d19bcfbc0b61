"""The layers of `liftgrad.nn` give PyTorch's numbers, eager and lifted."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from liftgrad import Value, functional, lift, nn

CASES = json.loads(
    (Path(__file__).parent / "reference" / "layers.json").read_text(encoding="utf-8")
)["cases"]
IDS = [f"{i}-{case['name']}" for i, case in enumerate(CASES)]


@pytest.fixture(autouse=True)
def _seed():
    random.seed(7)


def pairs(arguments):
    return [tuple(a) if isinstance(a, list) else a for a in arguments]


def made(case):
    """The layer of a case with its parameters."""
    options = dict(zip(case["options"], pairs(case["options"].values()), strict=True))
    layer = getattr(nn, case["name"])(*pairs(case["arguments"]), **options)
    layer.load_state_dict(case["state"])
    return layer


def numbers(x):
    """The numbers in nested lists and tuples, in one list."""
    if isinstance(x, list | tuple):
        return [number for item in x for number in numbers(item)]
    return [x]


def nested(function, x):
    return [nested(function, item) for item in x] if isinstance(x, list) else function(x)


def weighted(layer, x, weights):
    """The sum of a layer's outputs, each times its weight."""
    return functional.dot(numbers(layer(x)), weights)


def gradients_of(layer, case):
    """The gradients of a layer's parameters in the order of the case's."""
    named = dict(layer.named_parameters())

    def places(x, name):
        if isinstance(x, list):
            return [p for i, item in enumerate(x) for p in places(item, f"{name}.{i}")]
        return [named[name].grad]

    return [g for name, x in case["gradients"].items() for g in places(x, name)]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_values_and_gradients_are_pytorchs(case):
    """With the same parameters, by PyTorch's names and in its layout, and the same input."""
    layer = made(case)
    state = layer.state_dict()
    assert {name: x.tolist() for name, x in state.items()} == case["state"]
    x = case["x"] if case["x gradient"] is None else nested(Value, case["x"])
    outputs = numbers(layer(x))
    expected = numbers(case["outputs"])
    assert [float(y) for y in outputs] == pytest.approx(expected, rel=1e-10, abs=1e-12)
    functional.dot(outputs, numbers(case["weights"])).backward()
    assert gradients_of(layer, case) == pytest.approx(
        numbers(list(case["gradients"].values())), rel=1e-10, abs=1e-11
    )
    if case["x gradient"] is not None:
        assert numbers(nested(lambda v: v.grad, x)) == pytest.approx(
            numbers(case["x gradient"]), rel=1e-10, abs=1e-11
        )


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_lifted_layers_agree_with_eager_ones(case):
    """The value and all gradients, also those of the input, for the same parameters."""
    eager, lifted = made(case), made(case)
    as_input = case["x gradient"] is None
    x = np.array(case["x"]) if as_input else nested(Value, case["x"])
    x2 = x if as_input else nested(Value, case["x"])
    weights = numbers(case["weights"])
    a = weighted(eager, x.tolist() if as_input else x, weights)
    b = lift(weighted)(lifted, x2, weights)
    a.backward()
    b.backward()
    assert b.data == pytest.approx(a.data, rel=1e-12, abs=1e-12)
    assert gradients_of(lifted, case) == pytest.approx(
        gradients_of(eager, case), rel=1e-12, abs=1e-12
    )
    if not as_input:
        assert [v.grad for v in numbers(x2)] == pytest.approx(
            [v.grad for v in numbers(x)], rel=1e-12, abs=1e-12
        )
