"""Native draws: kernels draw what random.random() would, and leave the generator where it would."""

import ctypes
import random

import numpy as np
import pytest

from liftgrad import Trainer, Value, functional, lift, nn, optim, vmap
from liftgrad.lift.kernels.llvm.twister import MEMORY
from liftgrad.lift.native.host import machine_code
from liftgrad.lift.run.drawing import drawing

DTYPES = ["float64", "float32"]
WORDS_READ = [0, 1, 2, 7, 100, 607, 608, 609, 621, 622, 623, 624]
"""Of the generator's 624; after an odd number of them, a number is drawn across their end."""
SHAPES = [(1, 1), (1, 7), (1, 8), (9, 1), (3, 5), (1, 311), (2, 156), (313, 1), (40, 50)]
X = np.random.default_rng(0).normal(size=(6, 3))


def network():
    random.seed(1)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))


def one_run(model, X):
    """Draw within a vmap."""
    return functional.mean(vmap(lambda x: nn.Dropout(0.4)(model(x))[0] ** 2)(X))


def out_of_order(model, X):
    """Draw numbers that do not lie in memory as they are drawn."""
    w = model[0].bias[0]
    return functional.mean([model([functional.uniform(w) for _ in x])[0] ** 2 for x in X])


def several_runs(model, X):
    """Draw before, within, between and after vmaps, every number used."""
    w = model[0].bias[0]
    first = functional.uniform(w) * functional.uniform(w)
    cost = functional.mean(vmap(lambda x: model(nn.Dropout(0.2)(x))[0] ** 2)(X)) * first
    cost += functional.uniform(w)
    noise = vmap(lambda x: functional.uniform(w) * x[0] * w - functional.uniform(x[1]) * w)(X)
    return cost + functional.total(noise) * functional.uniform(cost)


def some_unused(model, X):
    """Draw runs that nothing uses between some that are used."""
    for _ in range(3):
        functional.uniform(model[0].bias[0])
    cost = one_run(model, X)
    functional.uniform(cost)
    vmap(lambda x: functional.uniform(x[0]))(X)
    return cost * functional.uniform(cost)


def all_unused(model, X):
    """Draw runs that nothing uses."""
    functional.uniform(model[0].bias[0])
    vmap(lambda x: [functional.uniform(x[0]) for _ in range(5)])(X)
    return functional.mean(vmap(lambda x: model(x)[0] ** 2)(X))


FUNCTIONS = [one_run, out_of_order, several_runs, some_unused, all_unused]


def trained(function, dtype, runs, **batches):
    """Return losses, parameters and the state of `random` after some runs of a trainer."""
    model = network()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    trainer = Trainer(lift(dtype=dtype)(function), optimizer, **batches)
    random.seed(7)
    losses = np.concatenate([trainer.run(steps, model, X).loss for steps in runs])
    return losses.tolist(), [p.data for p in model.parameters()], random.getstate(), trainer


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_kernel_draws_like_python(dtype):
    """From any word on, over the end of the words, into places that are out of order."""
    code = machine_code()
    kernel = code.addresses[f"draw{np.dtype(dtype).itemsize * 8}"]
    for read in WORDS_READ:
        for rows, columns in SHAPES:
            random.seed(read)
            random.getrandbits(32 * (624 + read))
            words = np.zeros(MEMORY, np.uint32)
            words[1:626] = random.getstate()[1]
            order = np.random.default_rng(read).permutation(columns)
            target, places = np.zeros((columns, rows), dtype), order * rows
            addressed = (words.ctypes.data, target.ctypes.data)
            arguments = np.array([*addressed, rows, columns, places.ctypes.data], np.uint64)
            plan = np.array([1, kernel, arguments.ctypes.data], np.uint64)
            code.run(ctypes.c_void_p(plan.ctypes.data))
            expected = [[random.random() for _ in range(columns)] for _ in range(rows)]
            assert (np.array(expected).astype(dtype) == target[order].T).all()
            assert tuple(words[1:626].tolist()) == random.getstate()[1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_group_has_the_numbers_that_python_draws(function, dtype):
    """In the last of several steps, as one by one; and `random` is left in the same state."""
    _, _, after, trainer = trained(function, dtype, [70])
    program = trainer._state.training.programs[0]
    built, instance = program.built, program.native.instance
    assert built.draws
    random.seed(7)
    with drawing(built.draws, len(X), 70) as draw:
        steps = [list(draw()) for _ in range(70)]
    assert random.getstate() == after
    for group, numbers in steps[-1]:
        assert (instance.get(group, np.arange(len(numbers))) == numbers.astype(dtype)).all()
    if function is out_of_order:
        assert instance.layouts[built.draws[0].group] is not None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batches", [{}, {"batch_size": 4}])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_steps_together_are_the_same_to_the_bit_as_one_by_one(function, batches, dtype):
    """Losses, parameters and the state of `random`; also where each second batch is smaller."""
    together = trained(function, dtype, [41], **batches)
    one_by_one = trained(function, dtype, [1] * 41, **batches)
    assert together[:3] == one_by_one[:3]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_loss_that_is_a_random_number(dtype):
    """Is random.random()'s at each of many steps, rounded once; `gauss` keeps its spare number."""
    one = Value(1.0)
    trainer = Trainer(
        lift(dtype=dtype)(lambda x: x * functional.uniform(x)), optim.SGD([one], lr=0.0)
    )
    random.seed(3)
    random.gauss(0.0, 1.0)
    random.getrandbits(32)
    state = random.getstate()
    losses = trainer.run(700, one).loss
    after = random.getstate()
    random.setstate(state)
    assert (losses == np.array([random.random() for _ in losses]).astype(dtype)).all()
    assert random.getstate() == after


def test_batches_in_portions_draw_as_numpy_does():
    """Each step of a batch that is cut into portions draws its own numbers."""
    rows = np.random.default_rng(1).normal(size=(20_000, 3))
    results = []
    for backend in ("native", "numpy"):
        model = network()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        trainer = Trainer(lift(backend=backend)(one_run), optimizer, batch_size=12_000)
        random.seed(5)
        losses = trainer.run(4, model, rows).loss
        if backend == "native":
            programs = trainer._state.training.programs
            assert programs[12_000].native.portions is not None
        results.append((losses, [p.data for p in model.parameters()], random.getstate()))
    native, plain = results
    assert native[0] == pytest.approx(plain[0], rel=1e-9)
    assert native[1] == pytest.approx(plain[1], rel=1e-9, abs=1e-11)
    assert native[2] == plain[2]
