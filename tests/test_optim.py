"""The optimisers: PyTorch's figures, and the contract that the compiler relies on."""

import json
import math
import re
from pathlib import Path

import pytest

from liftgrad import optim
from liftgrad.engine import Value

TORCH = json.loads((Path(__file__).parent / "reference" / "optim.json").read_text("utf-8"))


def gradient(i, p, step):
    """The gradient with which reference/make_optim.py made the figures."""
    return (0.5, 3.0, 20.0)[i] * p - 0.2 + 0.3 * math.cos(1.7 * step + i)


def reference_optimizer(case, params):
    arguments = dict(case["arguments"])
    if arguments.get("lr") == "linear":
        arguments["lr"] = optim.linear(0.2, 0.05, steps=20)
    return getattr(optim, case["optimizer"])(params, **arguments)


@pytest.mark.parametrize("case", TORCH["cases"], ids=lambda c: f"{c['optimizer']}{c['arguments']}")
def test_every_step_is_pytorchs(case):
    """To twelve digits, from the first step on, on three parameters at once."""
    params = [Value(x) for x in TORCH["start"]]
    optimizer = reference_optimizer(case, params)
    for step, expected in enumerate(case["trajectory"]):
        for i, p in enumerate(params):
            p.grad = gradient(i, p.data, step)
        optimizer.step()
        assert [p.data for p in params] == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("case", TORCH["cases"], ids=lambda c: f"{c['optimizer']}{c['arguments']}")
def test_the_rule_is_arithmetic(case):
    """The same update runs on anything with operators; the compiler runs it on symbols."""
    optimizer = reference_optimizer(case, [Value(0.0)])
    scalars = optimizer.scalars(3)
    numbers = (0.7, -0.4, *[0.3 for _ in optimizer.state_names])
    p, g, *state = numbers
    plain = optimizer.update(p, g, tuple(state), scalars)
    p, g, *state = map(Value, numbers)
    symbols = optimizer.update(p, g, tuple(state), tuple(map(Value, scalars)))
    assert symbols[0].data == plain[0]
    assert [s.data for s in symbols[1]] == list(plain[1])
    assert len(plain[1]) == len(optimizer.state_names)


@pytest.mark.parametrize("case", TORCH["cases"], ids=lambda c: f"{c['optimizer']}{c['arguments']}")
def test_training_goes_on_from_a_state_dict(case):
    """As if it had never stopped; the state is plain enough for JSON."""
    params = [Value(x) for x in case["trajectory"][9]]
    optimizer = reference_optimizer(case, [Value(x) for x in TORCH["start"]])
    for step, point in enumerate([TORCH["start"], *case["trajectory"][:9]]):
        for i, (p, x) in enumerate(zip(optimizer.params, point, strict=True)):
            p.data, p.grad = x, gradient(i, x, step)
        optimizer.step()
    resumed = reference_optimizer(case, params)
    resumed.load_state_dict(json.loads(json.dumps(optimizer.state_dict())))
    for i, p in enumerate(params):
        p.grad = gradient(i, p.data, 10)
    resumed.step()
    assert [p.data for p in params] == pytest.approx(case["trajectory"][10], rel=1e-12, abs=1e-15)


def test_schedules():
    """micrograd's demo: 1.0 - 0.9·k/100; after its last step a schedule stays where it is."""
    rate = optim.linear(1.0, 0.1, steps=100)
    assert [rate(k) for k in range(100)] == [1.0 - 0.9 * k / 100 for k in range(100)]
    assert rate(100) == rate(1000) == 0.1
    assert optim.constant(0.3)(7) == 0.3


def test_a_schedule_may_be_any_function_of_the_step():
    """It is asked with the number of steps taken before."""
    p = Value(0.0)
    optimizer = optim.SGD([p], lr=lambda step: 10.0**-step)
    p.grad = 1.0
    for _ in range(3):
        optimizer.step()
    assert p.data == pytest.approx(-1.11)
    assert optimizer.steps == 3


def test_the_rate_may_be_set_between_steps():
    """As an attribute."""
    p = Value(0.0)
    optimizer = optim.SGD([p], lr=1.0)
    p.grad = 1.0
    optimizer.step()
    optimizer.lr = 0.5
    optimizer.step()
    assert p.data == -1.5


def test_zero_grad_and_gradients_that_are_values():
    """A gradient from create_graph=True counts as its number; zero_grad clears it."""
    p = Value(2.0)
    optimizer = optim.SGD([p], lr=0.25)
    (p * p).backward(create_graph=True)
    optimizer.step()
    assert (p.data, type(p.data)) == (1.0, float)
    optimizer.zero_grad()
    assert p.grad == 0.0


def test_plain_descent_keeps_no_state():
    """And momentum one number a parameter, Adam two."""
    p = [Value(0.0), Value(1.0)]
    assert optim.SGD(p, lr=0.1).state_dict() == {"steps": 0}
    momentum = optim.SGD(p, lr=0.1, momentum=0.9).state_dict()
    assert momentum == {"steps": 0, "momentum": [0.0, 0.0]}
    assert set(optim.Adam(p).state_dict()) == {"steps", "mean", "square"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: optim.SGD(p, lr=-1.0), "lr is a finite number, 0 or more; got lr=-1.0."),
        (lambda p: optim.SGD(p, lr="fast"), "lr is a finite number, 0 or more; got lr='fast'."),
        (lambda p: optim.SGD(p, lr=1.0, momentum=-0.1), "momentum is a finite number"),
        (lambda p: optim.SGD(p, lr=1.0, weight_decay=-1.0), "weight_decay is a finite number"),
        (lambda p: optim.SGD(p, lr=1.0, nesterov=True), "nesterov needs a momentum above 0"),
        (
            lambda p: optim.SGD(p, lr=1.0, momentum=0.9, dampening=0.1, nesterov=True),
            "nesterov needs a momentum above 0 and no dampening.",
        ),
        (lambda p: optim.Adam(p, betas=(0.9, 1.0)), "betas are from 0 up to, but not, 1"),
        (lambda p: optim.Adam(p, eps=float("nan")), "eps is a finite number"),
        (lambda p: optim.SGD([], lr=1.0), "there are no parameters to optimise"),
        (lambda p: optim.SGD([*p, *p], lr=1.0), "a parameter occurs twice"),
        (lambda p: optim.linear(1.0, 0.1, steps=0), "a linear schedule takes at least 1 step"),
        (lambda p: optim.linear(-1.0, 0.1, steps=5), "start is a finite number"),
        (lambda p: optim.constant(float("inf")), "rate is a finite number"),
    ],
)
def test_impossible_arguments(make, message):
    """One sentence says what would be possible."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        make([Value(0.0)])


@pytest.mark.parametrize("params", [3.0, [1.0, 2.0]])
def test_what_is_not_a_list_of_values(params):
    """Is refused with the way out."""
    with pytest.raises(TypeError, match=r"pass model\.parameters\(\)\.$"):
        optim.SGD(params, lr=0.1)


def test_a_state_dict_of_another_optimizer():
    """Is refused, and nothing changed."""
    p = [Value(0.0), Value(1.0)]
    adam = optim.Adam(p)
    with pytest.raises(ValueError, match="make the optimiser with the same arguments first"):
        adam.load_state_dict(optim.SGD(p, lr=0.1).state_dict())
    with pytest.raises(ValueError, match="is of 1 parameters and the optimiser has 2"):
        adam.load_state_dict({**optim.Adam(p[:1]).state_dict(), "steps": 7})
    assert adam.steps == 0
