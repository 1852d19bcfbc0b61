"""Groups of parameters: each moves as it would with an optimiser of its own."""

import copy
import re

import pytest

from liftgrad import optim
from liftgrad.engine import Value

KINDS = {
    "SGD": (optim.SGD, {"lr": 0.1}, [{"momentum": 0.9}, {"lr": optim.cosine(0.2, 0.0, 9)}]),
    "Adam": (optim.Adam, {"lr": 0.1}, [{"amsgrad": True}, {"betas": (0.5, 0.9), "lr": 0.3}]),
    "AdamW": (optim.AdamW, {"lr": optim.exponential(0.1, 0.9)}, [{"weight_decay": 0.5}, {}]),
    "RMSprop": (optim.RMSprop, {}, [{"centered": True}, {"momentum": 0.5, "weight_decay": 0.1}]),
    "Adagrad": (optim.Adagrad, {"lr": 0.1}, [{"initial_accumulator_value": 2.0}, {"eps": 0.1}]),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def grouped(kind, *parts):
    make, settings, groups = KINDS[kind]
    both = zip(parts, groups, strict=True)
    return make([{"params": part, **group} for part, group in both], **settings)


def alone(kind, *parts):
    make, settings, groups = KINDS[kind]
    both = zip(parts, groups, strict=True)
    return [make(part, **{**settings, **group}) for part, group in both]


def five():
    return [Value(0.3 * i - 0.7) for i in range(5)]


def odd_and_even(values):
    """Return two groups whose parameters alternate in the model."""
    return values[1::2], values[::2]


@kinds
def test_a_group_moves_as_by_itself(kind):
    """To the bit."""
    ours, theirs = five(), five()
    optimizer, others = grouped(kind, *odd_and_even(ours)), alone(kind, *odd_and_even(theirs))
    for step in range(12):
        for values in (ours, theirs):
            for i, p in enumerate(values):
                p.grad = p.data * (i + 1.0) - 0.1 * step
        optimizer.step()
        for other in others:
            other.step()
    assert [p.data for p in ours] == [p.data for p in theirs]


def test_groups_are_dictionaries():
    """With every setting, PyTorch's way to read and to change them between steps."""
    p, q = Value(0.0), Value(0.0)
    optimizer = optim.SGD([{"params": [p], "lr": 0.1}, {"params": q}], lr=1.0, momentum=0.5)
    rest = {"momentum": 0.5, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}
    assert [dict(group) for group in optimizer.param_groups] == [
        {"params": [p], "lr": 0.1, **rest},
        {"params": [q], "lr": 1.0, **rest},
    ]
    assert optimizer.params == [p, q]
    assert repr(optimizer.param_groups[0]) == (
        f"ParamGroup(1 parameters, { ({'lr': 0.1, **rest}) })"
    )
    p.grad = q.grad = 1.0
    for group in optimizer.param_groups:
        group["lr"] *= 0.5
    optimizer.step()
    assert (p.data, q.data) == (-0.05, -0.5)


def test_without_groups_there_is_one():
    """It and the attributes are the same."""
    p = Value(0.0)
    optimizer = optim.SGD([p], lr=1.0)
    (group,) = optimizer.param_groups
    group["lr"] = 0.25
    assert optimizer.lr == 0.25
    optimizer.weight_decay = 0.1
    assert group["weight_decay"] == 0.1
    assert group["params"] == [p]


def test_a_copy_has_groups_of_its_own():
    """With its own parameters, and settings apart from the first's."""
    optimizer = optim.SGD([{"params": [Value(1.0)], "lr": 0.5}, {"params": [Value(1.0)]}], lr=1.0)
    other = copy.deepcopy(optimizer)
    other.param_groups[0]["lr"] = 0.25
    for p in other.params:
        p.grad = 1.0
    other.step()
    assert [p.data for p in other.params] == [0.75, 0.0]
    assert [p.data for p in optimizer.params] == [1.0, 1.0]
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_a_rate_for_no_group_is_refused():
    """It would be without effect."""
    optimizer = optim.SGD([{"params": [Value(0.0)]}, {"params": [Value(0.0)]}], lr=1.0)
    optimizer.lr = 0.5
    with pytest.raises(ValueError, match=r"set optimizer\.param_groups\[0\]\['lr'\]\.$"):
        optimizer.step()
    del optimizer.lr
    optimizer.step()
    assert optimizer.rate(0) == 1.0


p, q = Value(0.0), Value(0.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: optim.SGD([{"params": [p]}, {"params": [q, p]}]),
            "a parameter is in group 0 and in group 1 and would move twice a step; leave it in",
        ),
        (lambda: optim.SGD([{"params": [p, p]}]), "a parameter occurs twice"),
        (
            lambda: optim.SGD([{"params": [p]}, {"params": [q], "betas": (0.9, 0.9)}]),
            "group 1: SGD has no setting 'betas'; its groups have 'params', 'lr', 'momentum', ",
        ),
        (lambda: optim.SGD([{"params": [p]}, {"params": []}]), "group 1 has no parameters; leave"),
        (lambda: optim.SGD([{"lr": 0.1}]), 'group 0 has no "params"; write {"params": layer.'),
        (
            lambda: optim.SGD([{"params": [p], "lr": -0.1}]),
            "group 0: lr is a finite number, 0 or more; got lr=-0.1.",
        ),
        (
            lambda: optim.SGD([p]).param_groups[0].update(momentum=0.9),
            "momentum=0.9 needs other state than momentum=0.0; make a new optimiser.",
        ),
        (
            lambda: optim.SGD([p]).param_groups[0].update(weight_decay=-1.0),
            "weight_decay is a finite number, 0 or more; got weight_decay=-1.0.",
        ),
        (lambda: optim.SGD([p]).param_groups[0].update(rate=1.0), "SGD has no setting 'rate'; its"),
    ],
)
def test_impossible_groups(make, message):
    """One sentence says what would be possible."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.SGD([{"params": [p]}, q]), "groups of parameters are dictionaries, and en"),
        (lambda: optim.SGD([{"params": [1.0]}]), "a parameter is a Value, and this is a float"),
        (lambda: optim.SGD([p]).param_groups[0].update(params=[q]), "the parameters of a group s"),
        (lambda: optim.SGD([p]).param_groups[0].pop("lr"), "a group has all settings and cannot"),
    ],
)
def test_what_is_no_group(make, message):
    """Is refused in the same way."""
    with pytest.raises(TypeError, match=f"^{re.escape(message)}"):
        make()


class Signs(optim.Optimizer):
    """A rule of a user, whose factor only it knows."""

    def __init__(self, params, lr=1.0, factor=1.0):
        super().__init__(params, lr)
        self.factor = factor


def test_a_subclass_that_keeps_its_settings_to_itself():
    """Could not be given other ones for a group."""
    with pytest.raises(TypeError, match="Signs takes no groups, since it does not hand 'factor'"):
        Signs([{"params": [p], "factor": 2.0}])
    assert Signs([p], factor=2.0).param_groups[0]["factor"] == 2.0
