"""Groups of parameters: each moves as with an optimiser of its own."""

import copy
import re

import numpy as np
import pytest

from liftgrad import EarlyStopping, Trainer, lift, optim
from liftgrad.engine import Value
from liftgrad.functional import sin, total

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


@lift
def lifted(values, factors):
    return total([0.5 * f * p * p + sin(p) for p, f in zip(values, factors, strict=True)])


FACTORS = np.array([0.5, 3.0, 1.0, 2.0, 4.0])
SPLITS = {
    "in order": lambda values: (values[:2], values[2:]),
    "turned round": lambda values: (values[2:], values[:2]),
    "alternating": odd_and_even,
    "out of order": lambda values: (values[3::-2], values[4::-2]),
    "not all": lambda values: (values[1:2], values[3:]),
}


def change(step, optimizer, kept):
    """Set some of a group's settings at some steps, as `kept` remembers them for the others."""
    if step in (4, 8):
        group = optimizer.param_groups[step // 4 - 1]
        group["weight_decay"] = kept[step // 4 - 1].weight_decay = 0.2
        group["lr"] = kept[step // 4 - 1].lr = 0.01


@kinds
@pytest.mark.parametrize("split", SPLITS)
def test_lifted_groups_move_as_by_themselves(kind, split):
    """By step() after lifted gradients and within a Trainer's steps, to the bit."""
    ways = [five() for _ in range(4)]
    stepped, trained, with_numpy, theirs = ways
    optimizer, of_trainer, of_numpy = (grouped(kind, *SPLITS[split](v)) for v in ways[:3])
    others = alone(kind, *SPLITS[split](theirs))
    trainer = Trainer(lifted, of_trainer)
    other_trainer = Trainer(lift(backend="numpy")(lifted.function), of_numpy)
    for step in range(12):
        for o in (optimizer, of_trainer, of_numpy):
            change(step, o, others)
        for values in (stepped, theirs):
            for p in values:
                p.grad = 0.0
            lifted(values, FACTORS).backward()
        optimizer.step()
        for other in others:
            other.step()
        trainer.run(1, trained, FACTORS)
        other_trainer.run(1, with_numpy, FACTORS)
    expected = [p.data for p in theirs]
    assert [p.data for p in stepped] == expected
    assert [p.data for p in trained] == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert [p.data for p in with_numpy] == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert optimizer.steps == of_trainer.steps == 12
    for name in optimizer.state_names:
        assert list(of_trainer.state[name]) == pytest.approx(list(optimizer.state[name]), 1e-12)
        # An array is what the native step leaves; Python's are lists.
        together = split in ("in order", "turned round", "alternating")
        assert isinstance(optimizer.state[name], np.ndarray) is together


def other_that_begins(kind, part, step):
    """Return an optimiser of a kind's second settings, whose schedule is `step` steps further."""
    make, settings, groups = KINDS[kind]
    settings = {**settings, **groups[1]}
    lr = settings.get("lr")
    if callable(lr):
        settings["lr"] = lambda taken: lr(step + taken)
    return make(part, **settings)


@kinds
@pytest.mark.parametrize("split", SPLITS)
def test_added_groups_move_as_by_themselves(kind, split):
    """From the step on at which they were added: by step(), lifted or not, and in Trainers."""
    begins = 5
    ways = [five() for _ in range(5)]
    make, settings, groups = KINDS[kind]
    eager, stepped, trained, with_numpy, theirs = ways
    optimizers = [make([{"params": SPLITS[split](v)[0], **groups[0]}], **settings) for v in ways]
    of_eager, of_steps, of_trainer, of_numpy, first = optimizers
    others = [first]
    trainer = Trainer(lifted, of_trainer)
    other_trainer = Trainer(lift(backend="numpy")(lifted.function), of_numpy)
    for step in range(12):
        if step == begins:
            for values, optimizer in zip(ways[:-1], optimizers[:-1], strict=True):
                optimizer.add_param_group({"params": SPLITS[split](values)[1], **groups[1]})
            others.append(other_that_begins(kind, SPLITS[split](theirs)[1], begins))
        for values, function in ((eager, lifted.function), (stepped, lifted), (theirs, lifted)):
            for p in values:
                p.grad = 0.0
            function(values, FACTORS).backward()
        for optimizer in (of_eager, of_steps, *others):
            optimizer.step()
        trainer.run(1, trained, FACTORS)
        other_trainer.run(1, with_numpy, FACTORS)
    expected = [p.data for p in theirs]
    assert [p.data for p in stepped] == expected
    for values in (eager, trained, with_numpy):
        assert [p.data for p in values] == pytest.approx(expected, rel=1e-12, abs=1e-12)
    for name in of_eager.state_names:
        for optimizer in (of_steps, of_trainer, of_numpy):
            state = pytest.approx(list(of_eager.state[name]), rel=1e-12, abs=1e-15)
            assert list(optimizer.state[name]) == state


def test_trainers_may_add_groups_at_different_steps():
    """They share a program, but each counts its own steps."""
    shared = lift(lifted.function)
    numbers = []
    for functions in ([shared, shared], [lift(lifted.function), lift(lifted.function)]):
        ways = [five(), five()]
        optimizers = [optim.Adam(values[:2], lr=0.1) for values in ways]
        trainers = [Trainer(f, o) for f, o in zip(functions, optimizers, strict=True)]
        for trainer, values, begins in zip(trainers, ways, (2, 7), strict=True):
            trainer.run(begins, values, FACTORS)
            trainer.optimizer.add_param_group({"params": values[2:], "lr": 0.3})
        for trainer, values in zip(trainers, ways, strict=True):
            trainer.run(3, values, FACTORS)
        numbers.append([[p.data for p in values] for values in ways])
    assert numbers[0] == numbers[1]
    assert shared.stats.cache_hits == 2


def test_a_group_may_be_added_between_the_epochs_of_a_fit():
    """By a callback, as when a layer is unfrozen; the best model has its initial numbers."""
    values = five()
    optimizer = optim.SGD(values[:2], lr=0.1)
    frozen = [p.data for p in values[2:]]
    best, seen = iter([3.0, 1.0, 2.0, 2.0, 2.0]), []

    def unfreeze(state):
        seen.append([p.data for p in values])
        if state.epoch == 3:
            optimizer.add_param_group({"params": values[2:], "lr": 0.5})

    trainer = Trainer(lifted, optimizer)
    rule = EarlyStopping(patience=3, monitor="m")
    metrics = {"m": lambda *_: next(best)}
    table = trainer.fit(
        9, values, FACTORS, metrics=metrics, early_stopping=rule, callbacks=[unfreeze]
    ).table()
    assert len(seen) == 5
    assert seen[3][2:] != frozen
    assert [p.data for p in values] == seen[1]
    assert list(table) == ["epoch", "step", "loss", "m", "lr", "seconds", "lr_0", "lr_1"]
    assert table["lr"].tolist() == [0.1] * 5
    assert table["lr_0"].tolist() == pytest.approx([np.nan] * 3 + [0.1] * 2, nan_ok=True)
    assert table["lr_1"].tolist() == pytest.approx([np.nan] * 3 + [0.5] * 2, nan_ok=True)


def test_a_group_added_in_the_last_epoch_stays_as_it_is():
    """Restoring the best parameters does not move it."""
    values = five()
    optimizer = optim.SGD(values[:2], lr=0.1)
    trainer = Trainer(lifted, optimizer)
    trainer.fit(
        1,
        values,
        FACTORS,
        early_stopping=EarlyStopping(monitor="loss"),
        callbacks=[lambda _: optimizer.add_param_group({"params": values[2:]})],
    )
    assert [p.data for p in values[2:]] == [p.data for p in five()[2:]]


def test_a_rate_for_no_group_is_refused_when_lifted():
    """By a Trainer, too, and before anything is moved."""
    values = five()
    optimizer = grouped("SGD", *odd_and_even(values))
    trainer = Trainer(lifted, optimizer)
    trainer.run(1, values, FACTORS)
    before = [p.data for p in values]
    optimizer.lr = 0.5
    with pytest.raises(ValueError, match="each group has its own lr"):
        trainer.run(1, values, FACTORS)
    with pytest.raises(ValueError, match="each group has its own lr"):
        optimizer.step()
    assert [p.data for p in values] == before


def test_a_group_that_is_added_has_the_settings_the_optimiser_was_made_with():
    """Not the present ones of another group; older dictionaries are still valid."""
    p, q, r = Value(0.0), Value(0.0), Value(0.0)
    optimizer = optim.SGD([p], lr=1.0, weight_decay=0.5)
    (first,) = optimizer.param_groups
    first["lr"] = 0.1
    optimizer.add_param_group({"params": q})
    optimizer.add_param_group({"params": [r], "weight_decay": 0.25})
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 1.0, 1.0]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.5, 0.25]
    assert [group["params"] for group in optimizer.param_groups] == [[p], [q], [r]]
    assert optimizer.params == [p, q, r]
    first["lr"] = 0.2
    assert optimizer.param_groups[0]["lr"] == optimizer.rate(0) == 0.2
    assert optimizer.rates(0) == [0.2, 1.0, 1.0]


def test_a_copy_counts_the_steps_of_added_groups():
    """As the first does."""
    optimizer = optim.Adam([Value(1.0)], lr=0.1)
    optimizer.params[0].grad = 1.0
    optimizer.step()
    optimizer.add_param_group({"params": [Value(2.0)]})
    other = copy.deepcopy(optimizer)
    for one in (optimizer, other):
        for p in one.params:
            p.grad = 0.5
        one.step()
    assert [p.data for p in other.params] == [p.data for p in optimizer.params]
    other.add_param_group({"params": [Value(3.0)]})
    assert other.rates(0) == [0.1] * 3
    assert len(optimizer.params) == 2


def test_a_state_dict_of_other_groups_is_refused():
    """It says how many there were; without that, all are there from the first step."""
    optimizer = optim.Adam([Value(1.0)])
    optimizer.step()
    optimizer.add_param_group({"params": [Value(1.0)]})
    state = optimizer.state_dict()
    assert state["began"] == [0, 1]
    other = optim.Adam([Value(1.0), Value(1.0)])
    with pytest.raises(ValueError, match=r"is of 2 groups .* has 1; add the same groups first"):
        other.load_state_dict(state)
    assert other.steps == 0
    del state["began"]
    optimizer.load_state_dict(state)
    assert [rule.began for rule in optimizer.rules] == [0, 0]


def test_groups_are_dictionaries():
    """With every setting, to read and to change between steps, as in PyTorch."""
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


@pytest.mark.parametrize("first", ["plain", "grouped"])
@pytest.mark.parametrize(
    ("group", "error", "message"),
    [
        ({"params": [p]}, ValueError, "a parameter is in group 0 and in group 1 and would move"),
        ({"params": [q, q]}, ValueError, "a parameter occurs twice"),
        ({"params": []}, ValueError, "group 1 has no parameters; leave it out."),
        ({"lr": 1.0}, ValueError, 'group 1 has no "params"; write'),
        ({"params": [q], "rate": 1.0}, ValueError, "group 1: SGD has no setting 'rate'; its"),
        ({"params": [q], "lr": -1.0}, ValueError, "group 1: lr is a finite number, 0 or more"),
        ([q], TypeError, "groups of parameters are dictionaries, and entry 1 is a list; write"),
    ],
)
def test_impossible_groups_are_not_added(first, group, error, message):
    """And leave the optimiser as it was."""
    optimizer = optim.SGD([p] if first == "plain" else [{"params": [p]}], lr=1.0, momentum=0.5)
    before = copy.copy(vars(optimizer)), optimizer.state_dict()
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        optimizer.add_param_group(group)
    assert (vars(optimizer), optimizer.state_dict()) == before


class Signs(optim.Optimizer):
    """A user's rule with a factor of its own."""

    def __init__(self, params, lr=1.0, factor=1.0):
        super().__init__(params, lr)
        self.factor = factor


def test_a_subclass_that_keeps_its_settings_to_itself():
    """It could not have other settings for a group."""
    with pytest.raises(TypeError, match="Signs takes no groups, since it does not pass 'factor'"):
        Signs([{"params": [p], "factor": 2.0}])
    assert Signs([p], factor=2.0).param_groups[0]["factor"] == 2.0
    with pytest.raises(TypeError, match="Signs takes no groups, since it does not pass 'factor'"):
        Signs([p]).add_param_group({"params": [q]})
