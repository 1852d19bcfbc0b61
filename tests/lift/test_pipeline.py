"""The road: each program goes through the same passes, whoever asks for it."""

from dataclasses import replace

import numpy as np
import pytest

from liftgrad import Trainer, Value, lift, optim
from liftgrad.lift import pipeline, recovery
from liftgrad.lift.ir.check import InvalidProgramError
from liftgrad.lift.ir.groups import Builder, Elementwise, Leaf, View, identity
from liftgrad.lift.pipeline import Built, Ending, compiled
from liftgrad.lift.stats import Stats
from liftgrad.ops import multiply


def squares(xs):
    return sum(x * x for x in xs)


@pytest.fixture
def passes(monkeypatch):
    """The passes that run, by name, in order."""
    names = []

    def recorded(name, function):
        def run(*args, **kwargs):
            names.append(name)
            return function(*args, **kwargs)

        return run

    for name in ("trace_by_steps", "roll_scans", "adjoint", "schedule", "NativeProgram"):
        where = recovery if hasattr(recovery, name) else pipeline
        monkeypatch.setattr(where, name, recorded(name, getattr(where, name)))
    return names


def test_a_call_a_training_step_and_an_optimizers_step_take_one_road(passes):
    """A step of an optimiser has its gradients already; nothing runs for a second call."""
    xs = [Value(1.0), Value(2.0)]
    loss, optimizer = lift(check=False)(squares), optim.SGD(xs, lr=0.25)
    for _ in range(2):
        loss(xs).backward()
    assert passes == ["trace_by_steps", "roll_scans", "adjoint", "schedule", "NativeProgram"]
    passes.clear()
    for _ in range(2):
        optimizer.step()
    assert passes == ["schedule", "NativeProgram"]
    passes.clear()
    trainer = Trainer(loss, optimizer)
    trainer.run(3, xs)
    trainer.run(3, xs)
    assert passes == ["trace_by_steps", "roll_scans", "adjoint", "schedule", "NativeProgram"]


def test_the_numpy_backend_leaves_the_road_before_the_kernels(passes):
    """It runs on groups."""
    xs = [Value(1.0), Value(2.0)]
    loss = lift(backend="numpy", check=False)(squares)
    assert loss(xs).data == 5.0
    assert passes == ["trace_by_steps", "roll_scans", "adjoint", "schedule"]


def test_passes_leave_the_program_that_they_are_given_as_it_is():
    """The adjoint and an update return longer programs."""
    xs = [Value(1.0), Value(2.0)]
    source = lift(squares).source
    arguments, flat = source.flatten((xs,), {})
    built = source.build(arguments, flat)
    before = list(built.rolled.groups)
    longer = pipeline.differentiated(built, unit_seed=True)
    assert list(built.rolled.groups) == before
    assert list(longer.rolled.groups[: len(before)]) == before
    assert len(longer.gradients) == 1
    assert not built.gradients


@pytest.mark.parametrize("wrong", ["roll", "adjoint", "update", "schedule"])
def test_a_pass_that_breaks_an_invariant_is_named(monkeypatch, wrong):
    """Before any later pass sees the program."""
    leaves = Builder()
    x = leaves.add(Leaf("x", 2, "parameter"))

    def outside(rolled):
        """Append a group that reads a third element of two."""
        builder = Builder(rolled)
        read = View(x, np.array([0, 2]))
        square = builder.add(Elementwise(multiply, (read, read), batched=False))
        return builder.program(), View(square, identity(2))

    if wrong == "update":
        with pytest.raises(InvalidProgramError, match=r"^after update: group 1"):
            compiled(
                lambda: Built(leaves.program(), gradients=[View(x, identity(2))]),
                lambda built: Ending(outside(built.rolled)[0], ()),
                *("float64", "numpy", Stats()),
            )
        return
    name = "roll_scans" if wrong == "roll" else wrong
    where = recovery if wrong == "roll" else pipeline
    original = getattr(where, name)

    def broken(*args, **kwargs):
        result = original(*args, **kwargs)
        if wrong == "roll":
            return outside(result)[0]
        if wrong == "adjoint":
            return outside(result[0])[0], result[1]
        return replace(result, nests=result.nests[1:])  # what reads the first one's results stays

    monkeypatch.setattr(where, name, broken)
    with pytest.raises(InvalidProgramError, match=f"^after {wrong}: "):
        lift(check=False)(lambda xs: squares(xs) * squares(xs))([Value(1.0), Value(2.0)])
