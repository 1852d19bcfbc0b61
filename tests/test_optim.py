"""The optimisers: PyTorch's figures, and the contract that the compiler relies on."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from liftgrad import Trainer, lift, optim
from liftgrad.engine import Value
from liftgrad.functional import total

TORCH = json.loads((Path(__file__).parent / "reference" / "optim.json").read_text("utf-8"))


def gradient(i, p, step):
    """Return the gradient with which reference/make_optim.py made the figures."""
    return (0.5, 3.0, 8.0)[i] * p - 0.2 + 0.3 * math.cos(1.7 * step + i)


def ours(settings):
    if settings.get("lr") != "linear":
        return settings
    return {**settings, "lr": optim.linear(0.2, 0.05, steps=20)}


def reference_optimizer(case, params):
    if case in TORCH["added"]:
        first = ours(case["groups"][0])
        params = [{"params": params[:1], **first}] if first else params[:1]
    elif "groups" in case:
        parts = zip((params[:1], params[1:]), case["groups"], strict=True)
        params = [{"params": part, **ours(group)} for part, group in parts]
    return getattr(optim, case["optimizer"])(params, **ours(case["arguments"]))


def join(case, optimizer, params, step):
    """Add the groups that are added before a step."""
    if case in TORCH["added"] and step in TORCH["joining"]:
        i = len(optimizer.params)
        optimizer.add_param_group({"params": params[i], **ours(case["groups"][i])})


def cases(*kinds):
    listed = [case for kind in kinds for case in TORCH[kind]]
    return pytest.mark.parametrize("case", listed, ids=lambda c: f"{list(c.values())[:2]}")


def kept(points):
    return [points[step] for step in TORCH["kept"]]


def close(points):
    """Compare nine digits after 200 steps; only the order of roundings differs."""
    return pytest.approx(np.array(points), rel=1e-9, abs=1e-12)


@cases("cases", "groups", "added")
def test_200_steps_are_pytorchs(case):
    """On three parameters at once, from the first step on."""
    params = [Value(x) for x in TORCH["start"]]
    optimizer = reference_optimizer(case, params)
    points = []
    for step in range(200):
        join(case, optimizer, params, step)
        for i, p in enumerate(params):
            p.grad = gradient(i, p.data, step)
        optimizer.step()
        points.append([p.data for p in params])
    assert np.array(kept(points)) == close(case["trajectory"])


@lift
def parabolas(params, slopes, noise):
    return total([0.5 * h * p * p + c * p for h, p, c in zip(slopes, params, noise, strict=True)])


@pytest.mark.parametrize("backend", ["native", "numpy"])
@cases("cases", "groups", "added")
def test_200_lifted_steps_are_pytorchs(case, backend):
    """A Trainer makes the same steps on the same gradients."""
    params = [Value(x) for x in TORCH["start"]]
    function = parabolas if backend == "native" else lift(backend="numpy")(parabolas.function)
    trainer = Trainer(function, reference_optimizer(case, params))
    slopes = np.array([0.5, 3.0, 8.0])
    points = []
    for step in range(200):
        join(case, trainer.optimizer, params, step)
        noise = np.array([gradient(i, 0.0, step) for i in range(3)])
        trainer.run(1, params, slopes, noise)
        points.append([p.data for p in params])
    assert np.array(kept(points)) == close(case["trajectory"])


@cases("cases", "groups", "added")
def test_lifted_gradients_step_as_pytorchs(case):
    """`optimizer.step()` updates a lifted function's parameters together."""
    params = [Value(x) for x in TORCH["start"]]
    optimizer = reference_optimizer(case, params)
    slopes = np.array([0.5, 3.0, 8.0])
    for step in range(TORCH["kept"][13] + 1):
        join(case, optimizer, params, step)
        noise = np.array([gradient(i, 0.0, step) for i in range(3)])
        optimizer.zero_grad()
        parabolas(params, slopes, noise).backward()
        optimizer.step()
    assert np.array([p.data for p in params]) == close(case["trajectory"][13])


@cases("cases")
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


@cases("cases", "groups")
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
    assert np.array([p.data for p in params]) == close(case["trajectory"][10])


@cases("added")
def test_groups_that_were_added_go_on_from_a_state_dict(case):
    """They are added again first, and count their steps from their beginnings."""
    params = [Value(x) for x in TORCH["start"]]
    optimizer = reference_optimizer(case, params)
    for step in range(50):
        if step == 35:
            state = json.loads(json.dumps(optimizer.state_dict()))
            assert state["began"] == [0, *TORCH["joining"]]
            optimizer = reference_optimizer(case, params)
            for joining in TORCH["joining"]:
                join(case, optimizer, params, joining)
            optimizer.load_state_dict(state)
        join(case, optimizer, params, step)
        for i, p in enumerate(params):
            p.grad = gradient(i, p.data, step)
        optimizer.step()
    assert np.array([p.data for p in params]) == close(case["trajectory"][13])


@cases("schedules")
def test_schedules_are_pytorchs(case):
    """At thirty steps, which is the length of the cycles."""
    rate = getattr(optim, case["name"])(*case["arguments"])
    assert [rate(k) for k in range(30)] == pytest.approx(case["rates"], rel=1e-12)


@cases("plateaus")
def test_rates_on_a_plateau_are_pytorchs(case):
    """After each of thirty numbers, one of them nan."""
    schedule = optim.ReduceLROnPlateau(0.5, **case["arguments"])
    rates = []
    for number in TORCH["losses"]:
        schedule.step(number)
        rates.append(schedule(0))
    assert rates == pytest.approx(case["rates"], rel=1e-12)


def test_a_plateau_goes_on_from_a_state_dict():
    """Like any schedule with a state; what is not a state_dict is refused."""
    first, second = (optim.ReduceLROnPlateau(0.5, patience=1, cooldown=1) for _ in range(2))
    for number in TORCH["losses"][:9]:
        first.step(number)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for number in TORCH["losses"][9:]:
        first.step(number)
        second.step(number)
        assert first.state_dict() == pytest.approx(second.state_dict(), nan_ok=True)
    for wrong in ({}, {**first.state_dict(), "waited": -1}, {**first.state_dict(), "rate": -1.0}):
        with pytest.raises(ValueError, match=r"rate|number of epochs|needs"):
            second.load_state_dict(wrong)
    assert first.state_dict() == second.state_dict()


def test_schedules_stay_where_they_end():
    """And what follows a warm-up starts there."""
    assert optim.cosine(1.0, 0.25, steps=4)(9) == 0.25
    cycle = optim.one_cycle(1.0, steps=10)
    assert cycle(9) == cycle(1000) == 1.0 / 25.0 / 1e4
    rate = optim.warm_up(0.0, 10, then=optim.step(1.0, every=5, gamma=0.5))
    assert [rate(k) for k in (0, 5, 10, 14, 15, 20)] == [0.0, 0.5, 1.0, 1.0, 0.5, 0.25]
    assert optim.warm_up(0.1, 2, then=0.3)(100) == 0.3


@cases("clipping")
def test_clipping_is_pytorchs(case):
    """By the norm of all gradients together, or each gradient by itself."""
    params = [Value(0.0) for _ in TORCH["gradients"]]
    for p, g in zip(params, TORCH["gradients"], strict=True):
        p.grad = g
    arguments = {k: math.inf if x == "inf" else x for k, x in case["arguments"].items()}
    norm = getattr(optim, case["name"])(params, **arguments)
    assert norm is case["norm"] or norm == pytest.approx(case["norm"], rel=1e-14)
    assert [p.grad for p in params] == pytest.approx(case["gradients"], rel=1e-14)


def test_norms_do_not_overflow():
    """Squares beyond the largest float are most likely in clipping."""
    p, q = Value(0.0), Value(0.0)
    p.grad, q.grad = 3e200, -4e200
    assert optim.clip_grad_norm_([p, q], 1.0) == pytest.approx(5e200)
    assert [p.grad, q.grad] == pytest.approx([0.6, -0.8])
    p.grad, q.grad = 3e-200, 4e-200
    assert optim.clip_grad_norm_([p, q], 1.0) == pytest.approx(5e-200)
    assert optim.clip_grad_norm_([], 1.0) == 0.0
    assert optim.clip_grad_norm_([p, q], math.inf) == pytest.approx(5e-200)
    assert (p.grad, q.grad) == (3e-200, 4e-200)


def test_norms_that_are_not_finite():
    """They make gradients infinite or nan, as in PyTorch, or raise an error first."""
    p, q = Value(0.0), Value(0.0)
    p.grad, q.grad = math.inf, 1.0
    with pytest.raises(ValueError, match="the norm of the gradients is inf and they cannot"):
        optim.clip_grad_norm_([p, q], 1.0, error_if_nonfinite=True)
    assert (p.grad, q.grad) == (math.inf, 1.0)
    assert optim.clip_grad_norm_([p, q], 1.0) == math.inf
    assert math.isnan(p.grad)
    assert q.grad == 0.0
    assert math.isnan(optim.clip_grad_norm_([p, q], 1.0))
    assert math.isnan(q.grad)
    optim.clip_grad_value_([p], 1.0)
    assert math.isnan(p.grad)


def test_clipping_between_lifted_gradients_and_steps():
    """The gradients of a lifted function are clipped in place."""
    params = [Value(x) for x in TORCH["start"]]
    loss = parabolas(params, np.array([0.5, 3.0, 8.0]), np.zeros(3))
    loss.backward()
    before = [p.grad for p in params]
    norm = optim.clip_grad_norm_(params, 0.5)
    assert norm == pytest.approx(math.hypot(*before))
    assert [p.grad for p in params] == pytest.approx([g * 0.5 / (norm + 1e-6) for g in before])
    optim.SGD(params, lr=1.0).step()
    expected = [x - g * 0.5 / (norm + 1e-6) for x, g in zip(TORCH["start"], before, strict=True)]
    assert [p.data for p in params] == pytest.approx(expected)


def test_schedules():
    """micrograd's demo has 1.0 - 0.9·k/100; after its last step a schedule is constant."""
    rate = optim.linear(1.0, 0.1, steps=100)
    assert [rate(k) for k in range(100)] == [1.0 - 0.9 * k / 100 for k in range(100)]
    assert rate(100) == rate(1000) == 0.1
    assert optim.constant(0.3)(7) == 0.3


def test_a_schedule_may_be_any_function_of_the_step():
    """It is called with the number of steps taken so far."""
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


def test_numpys_numbers_are_pythons():
    """Settings of float32 are numbers like any other, and leave the arithmetic in float64."""
    moved = []
    for kind in (float, np.float32, np.float64, np.array):
        p = Value(1.0 / 3.0)
        betas = np.array([0.5, 0.25]) if kind is not float else (0.5, 0.25)
        optimizer = optim.Adam(
            [p], lr=kind(0.5), betas=betas, eps=kind(0.125), weight_decay=kind(0.25)
        )
        for lr in (kind(0.5), lambda _, kind=kind: kind(0.25)):
            optimizer.param_groups[0]["lr"] = lr
            optimizer.param_groups[0]["eps"] = kind(0.25)
            p.grad = 0.1
            optimizer.step()
        moved.append((type(p.data), p.data))
        assert repr(optimizer.param_groups[0]["eps"]) == "0.25"
    assert set(moved) == {(float, moved[0][1])}


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
    """Momentum keeps one number for each parameter, Adam two."""
    p = [Value(0.0), Value(1.0)]
    assert optim.SGD(p, lr=0.1).state_dict() == {"steps": 0}
    momentum = optim.SGD(p, lr=0.1, momentum=0.9).state_dict()
    assert momentum == {"steps": 0, "momentum": [0.0, 0.0]}
    assert set(optim.Adam(p).state_dict()) == {"steps", "mean", "square"}
    assert optim.Adagrad(p, initial_accumulator_value=2).state_dict()["sum"] == [2.0, 2.0]


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
        (lambda p: optim.RMSprop(p, alpha=1.0), "alpha is from 0 up to, but not, 1; got alpha=1."),
        (lambda p: optim.RMSprop(p, momentum=-1.0), "momentum is a finite number"),
        (lambda p: optim.Adagrad(p, lr_decay=-1.0), "lr_decay is a finite number"),
        (lambda p: optim.AdamW(p, weight_decay=-1.0), "weight_decay is a finite number"),
        (lambda p: optim.step(1.0, every=0), "a step schedule falls every 1 step or more"),
        (lambda p: optim.exponential(1.0, gamma=-0.5), "gamma is a finite number"),
        (lambda p: optim.cosine(1.0, 0.0, steps=0), "a cosine schedule takes at least 1 step"),
        (lambda p: optim.warm_restarts(1.0, 0.0, steps=0), "steps is a whole number, 1 or more"),
        (lambda p: optim.warm_restarts(1.0, 0.0, 5, 1.5), "factor is a whole number, 1 or more"),
        (lambda p: optim.ReduceLROnPlateau(0.1, factor=1.0), "factor is from 0 up to, but not, 1"),
        (lambda p: optim.ReduceLROnPlateau(0.1, "best"), "mode is 'min' or 'max'; got 'best'"),
        (lambda p: optim.ReduceLROnPlateau(0.1, patience=-1), "patience is a number of epochs"),
        (lambda p: optim.ReduceLROnPlateau(-0.1), "start is a finite number, 0 or more"),
        (
            lambda p: optim.ReduceLROnPlateau(0.1, threshold_mode="x"),
            "threshold_mode is 'rel' or 'abs'; got 'x'",
        ),
        (lambda p: optim.one_cycle(1.0, steps=3), "a cycle rises up to step pct_start·steps - 1"),
        (lambda p: optim.one_cycle(1.0, 9, pct_start=1.0), "a cycle rises up to step"),
        (lambda p: optim.one_cycle(1.0, 9, div_factor=0.0), "div_factor divides a rate"),
        (lambda p: optim.warm_up(0.0, 0, then=1.0), "a warm-up schedule takes at least 1 step"),
        (lambda p: optim.warm_up(0.0, 5, then=-1.0), "rate is a finite number"),
        (lambda p: optim.clip_grad_norm_(p, -1.0), "max_norm is a finite number"),
        (lambda p: optim.clip_grad_norm_(p, 1.0, norm_type=0), "norm_type is a number above 0"),
        (lambda p: optim.clip_grad_value_(p, -1.0), "clip_value is a finite number"),
        (lambda p: optim.constant(float("inf")), "rate is a finite number"),
    ],
)
def test_impossible_arguments(make, message):
    """One sentence says what would be possible."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        make([Value(0.0)])


@pytest.mark.parametrize("params", [3.0, [1.0, 2.0]])
def test_what_is_not_a_list_of_values(params):
    """It is refused with what to pass."""
    with pytest.raises(TypeError, match=r"pass model\.parameters\(\)\.$"):
        optim.SGD(params, lr=0.1)


def test_a_state_dict_of_another_optimizer():
    """It is refused, and nothing is changed."""
    p = [Value(0.0), Value(1.0)]
    adam = optim.Adam(p)
    with pytest.raises(ValueError, match="make the optimiser with the same arguments first"):
        adam.load_state_dict(optim.SGD(p, lr=0.1).state_dict())
    with pytest.raises(ValueError, match="is of 1 parameters and the optimiser has 2"):
        adam.load_state_dict({**optim.Adam(p[:1]).state_dict(), "steps": 7})
    assert adam.steps == 0


@pytest.mark.parametrize(
    ("field", "x", "words"),
    [
        ("steps", "three", "steps in this state_dict is 'three' and not a number of steps"),
        ("steps", 2.5, "steps in this state_dict is 2.5"),
        ("steps", -1, "steps in this state_dict is -1"),
        ("steps", None, "steps in this state_dict is None"),
        ("began", [3], "began in this state_dict is 3 and not a number of steps up to 2"),
        ("began", 0, "began in this state_dict is 0; pass"),
        ("began", [0, 0], "of 2 groups of parameters and the optimiser has 1"),
        ("square", ["x"], "square in this state_dict is not a list of numbers"),
        ("square", 1.0, "square in this state_dict is not a list of numbers"),
        ("square", [[1.0]], "square in this state_dict is not a list of numbers"),
        ("square", [1.0, 2.0], "this state_dict is of 2 parameters and the optimiser has 1"),
    ],
)
def test_a_state_that_is_refused_changes_nothing(field, x, words):
    """Whatever in it is wrong."""
    p = Value(1.0)
    optimizer = optim.Adam([p])
    p.grad = 2.0
    optimizer.step()
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match=words):
        optimizer.load_state_dict({"steps": 2, "mean": [9.0], "square": [9.0], field: x})
    assert optimizer.state_dict() == before
    with pytest.raises(TypeError, match="this is a list; pass what state_dict returned"):
        optimizer.load_state_dict([1.0])
    optimizer.load_state_dict({"steps": np.int64(2), "mean": np.array([9.0]), "square": (9.0,)})
    assert optimizer.state_dict() == {"steps": 2, "mean": [9.0], "square": [9.0]}
