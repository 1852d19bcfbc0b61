"""A lifted function runs once for many calls: what would differ between these is refused."""

import cProfile
import datetime as dt
import io
import itertools
import logging
import os
import pstats
import random
import secrets
import sys
import threading
import time
import uuid
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache, partial, singledispatch, wraps
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from refused import refusal

from liftgrad import Value, lift, nn
from liftgrad.functional import total

RNG = np.random.default_rng(0)
PYTHON = random.Random(0)
LEGACY = np.random.RandomState(0)
GENERATORS = {"noise": [RNG]}
HIDDEN = []
COUNTER = itertools.count()
QUEUE = deque([1.0, 2.0])
THIS = Path(__file__)


def noise_of_helper(x, scale=1.0):
    """A helper in this module."""
    return x + scale * RNG.normal()


class _Noise(nn.Module):
    """Draws in a method, from a generator of its own, or of its class, or of the module."""

    ours = np.random.default_rng(1)

    def __init__(self, rng):
        self.rng, self.nested = rng, {"a": (rng,)}
        self.bound = rng.random
        self.part = partial(getattr(rng, "normalvariate", getattr(rng, "normal", None)), 0.0, 1.0)

    def own(self, x):
        return x + self.rng.random()

    def own_nested(self, x):
        return x + self.nested["a"][0].random()

    def own_bound(self, x):
        return x + self.bound()

    def own_part(self, x):
        return x + self.part()

    def of_class(self, x):
        return x + self.ours.random()

    def of_module(self, x):
        return x + RNG.random()


class _Drawn:
    """Draws when it is made."""

    def __init__(self):
        self.noise = RNG.normal()


@dataclass
class _Default:
    """Draws a default."""

    noise: float = field(default_factory=RNG.normal)


def with_noise(function):
    @wraps(function)
    def noisy(*arguments):
        return function(*arguments) + RNG.normal()

    return noisy


@with_noise
def decorated(x):
    return x * 1.0


@singledispatch
def dispatched(x):
    return x + RNG.normal()


@lru_cache
def cached():
    return RNG.normal()


def drawn():
    while True:
        yield RNG.normal()


vectorized = np.vectorize(lambda x: x + RNG.normal())
GLOBAL = _Noise(np.random.default_rng(2))
rng = np.random.default_rng(3)
noisy = partial(RNG.normal, 0.0)
normal = PYTHON.gauss
Draw = type("Draw", (), {"__call__": lambda self, x: x + RNG.random()})
DRAWS = [
    lambda x: x + RNG.normal(),
    lambda x: x * (RNG.random() > 0.5),
    lambda x: x + PYTHON.gauss(0, 1),
    lambda x: x + PYTHON.random(),
    lambda x: x + LEGACY.rand(),
    lambda x: x + GENERATORS["noise"][0].integers(10),
    lambda x: x + noise_of_helper(x),
    lambda x: x + noisy(),
    lambda x: x + normal(0.0, 1.0),
    lambda x: GLOBAL.own(x) * 1.0,
    lambda x: GLOBAL.own_part(x) * 1.0,
    lambda x: Draw()(x) * 1.0,
    lambda x: x + rng.permutation(9)[0],
    lambda x, r=RNG: x + r.normal(),
    lambda x: x + _Drawn().noise,
    lambda x: x + _Default().noise,
    lambda x: decorated(x) * 1.0,
    lambda x: dispatched(x) * 1.0,
    lambda x: x + cached(),
    lambda x: x + next(drawn()),
    lambda x: x + float(vectorized(1.0)),
    lambda x: x + globals()["RNG"].normal(),
    lambda x: x + __import__("random").random(),
    lambda x: x + next(iter([RNG])).normal(),
    lambda x: x + sum(g.normal() for g in GENERATORS["noise"]),
    lambda x: x + np.random.default_rng().normal(),
    lambda x: x + np.random.RandomState().rand(),
    lambda x: x + random.Random().random(),
    lambda x: x + random.SystemRandom().random(),
    lambda x: x + np.random.Generator(np.random.PCG64()).random(),
    lambda x: x + np.random.rand(),  # noqa: NPY002
    lambda x: x + random.random(),
    lambda x: x + random.choice([1, 2]),
    lambda x: (random.seed(0), x + random.random())[1],
]


@pytest.mark.parametrize("draw", DRAWS, ids=range(len(DRAWS)))
def test_numbers_drawn_from_any_generator_are_refused(draw):
    """Drawing is refused from any generator, unless it is made from a seed in the function."""
    message = refusal(draw, Value(1.0))
    assert "draws numbers from" in message or "the system's random numbers" in message
    assert "pass" in message


def test_a_generator_that_no_name_leads_to_is_found_among_all_objects():
    """A text that is evaluated may name any."""
    HIDDEN.append(np.random.default_rng(0))  # made here: conftest.py hides what was there before
    assert "draws numbers from" in refusal(lambda x: x + eval("HIDDEN[-1].normal()"), Value(1.0))


@pytest.mark.parametrize("make", [np.random.default_rng, random.Random, np.random.RandomState])
@pytest.mark.parametrize(
    "method", ["own", "own_nested", "own_bound", "own_part", "of_class", "of_module"]
)
def test_numbers_drawn_in_methods_are_refused(make, method):
    """So it is in methods, whether their object is passed, captured, or in a list."""
    model = _Noise(make(0))
    for f, argument in (
        (lambda x, m: getattr(m, method)(x), model),
        (lambda x, m: getattr(m[0], method)(x), [model]),
        (lambda x, _: getattr(model, method)(x), None),
        (lambda x, f: f(x), getattr(model, method)),
    ):
        assert "draws numbers from" in refusal(f, Value(1.0), argument)


@pytest.mark.parametrize("make", [np.random.default_rng, random.Random])
def test_generators_passed_to_the_function_are_refused(make):
    """Generators must not be passed, in containers, bound methods or partials either."""
    g = make(0)
    for f, argument in (
        (lambda x, g: x + g.random(), g),
        (lambda x, g: x + g["g"].random(), {"g": g}),
        (lambda x, g: x + g.g.random(), SimpleNamespace(g=g)),
        (lambda x, draw: x + draw(), g.random),
        (lambda x, draw: x + draw(), partial(g.random)),
        (lambda x, draw: x + draw(), lambda: g.random() + 1.0),
    ):
        assert "draws numbers from" in refusal(f, Value(1.0), argument)


def test_the_sentence_names_the_generator_and_the_function():
    """The message has the user's name for the generator and the line of the function."""

    def noisy(x):
        y = x * 2.0
        return y + PYTHON.random()

    line = noisy.__code__.co_firstlineno
    assert refusal(noisy, Value(1.0)).startswith(
        f"{__file__}:{line}: the lifted function draws numbers from PYTHON, and runs once"
    )
    message = refusal(lambda x, m: m.own(x), Value(1.0), _Noise(RNG))
    assert "draws numbers from m.rng, and" in message or "from RNG, and" in message

    def timed(x):
        y = x * 2.0
        y = y + PYTHON.random()
        return y * time.time()

    line = timed.__code__.co_firstlineno
    assert refusal(timed, Value(1.0)).startswith(f"{__file__}:{line + 2}: the lifted function")


def test_a_generator_that_a_library_hides_is_refused():
    """A hidden generator is found among all in the process."""
    holder = threading.local()
    holder.rng = np.random.default_rng(1)
    assert "draws numbers from a generator, and" in refusal(
        lambda x: x + holder.rng.normal(), Value(1.0)
    )


def test_generators_that_nobody_draws_from_are_allowed():
    """Unused generators are allowed, and those that the function makes from a seed of its own."""
    model = _Noise(np.random.default_rng(0))

    def f(x, m):
        g, p = np.random.default_rng(7), random.Random(7)
        return x * float(g.normal()) + p.random() + len(m.nested)

    lifted = lift(f)
    for number in (1.0, 2.0):
        x = Value(number)
        assert lifted(x, model).data == pytest.approx(f(x, model).data)
    state = random.getstate()
    lift(f)(Value(1.0), model)
    assert random.getstate() == state


OUTSIDE = {
    "clock": [
        lambda x: x * time.time(),
        lambda x: x * time.perf_counter_ns(),
        lambda x: x * time.monotonic(),
        lambda x: x * time.localtime().tm_sec,
        lambda x: x * dt.datetime.now().microsecond,  # noqa: DTZ005
        lambda x: x * dt.datetime.now(dt.UTC).second,
        lambda x: x * dt.date.today().day,  # noqa: DTZ011
        lambda x: x * (uuid.uuid1().int % 7),
        lambda x, clock=time.time: x * clock(),
        lambda x: x * tick(),
        lambda x: x * ALIASES["tick"](),
        lambda x: x * now().day,
        lambda x: x * today().day,
    ],
    "environment": [
        lambda x: x * float(os.environ["SCALE_OF_TEST"]),
        lambda x: x * float(os.getenv("SCALE_OF_TEST", "1")),
        lambda x: x * float(os.environ.get("SCALE_OF_TEST", "1")),
        lambda x: x * len(dict(os.environ)),
        lambda x: x * ("SCALE_OF_TEST" in os.environ),
    ],
    "file": [
        lambda x: x * len(open(__file__).read()),  # noqa: PTH123, SIM115
        lambda x: x * len(THIS.read_text()),
        lambda x: x * len(Path(__file__).read_bytes()),
        lambda x: x * len(os.listdir()),  # noqa: PTH208
        lambda x: x * THIS.exists(),
        lambda x: x * THIS.stat().st_size,
        lambda x: x * len(list(THIS.parent.iterdir())),
        lambda x: x * len(np.fromfile(THIS, "u1")),
        lambda x: x * len(HANDLE.readline()),
        lambda x: x * len([line for line in HANDLE]),  # noqa: C416
        lambda x: x * len(next(HANDLE)),
    ],
    "system's random numbers": [
        lambda x: x * (uuid.uuid4().int % 7),
        lambda x: x * secrets.randbelow(7),
        lambda x: x * len(secrets.token_hex(4)),
        lambda x: x * os.urandom(1)[0],
    ],
    "context variable": [lambda x: x * CONTEXT.get(), lambda x: x * ALIASES["context"]()],
    "user's answer": [lambda x: x * float(input())],
}
tick = time.monotonic
now, today = dt.datetime.now, dt.date.today
CONTEXT = ContextVar("context", default=2.0)
ALIASES = {"tick": time.perf_counter, "context": CONTEXT.get}
ENVIRONMENT = os.environ
HANDLE = None


@pytest.mark.parametrize(
    ("what", "read"),
    [(what, read) for what, reads in OUTSIDE.items() for read in reads],
)
def test_what_is_read_from_outside_is_refused(what, read, monkeypatch):
    """The clock, a file and the like might read differently at the next call."""
    monkeypatch.setenv("SCALE_OF_TEST", "2.0")
    monkeypatch.setattr(sys, "stdin", io.StringIO("3.0\n"))
    with THIS.open() as file:
        monkeypatch.setattr(sys.modules[__name__], "HANDLE", file)
        message = refusal(read, Value(1.0))
    assert what in message
    assert "pass it as an argument" in message


def test_a_context_variable_that_is_set_is_refused():
    """A later call would not set the context variable."""
    assert "sets a context variable" in refusal(lambda x: CONTEXT.set(x * 2.0) and x, Value(1.0))
    assert CONTEXT.get() == 2.0


def test_a_captured_environment_is_seen_at_each_call(monkeypatch):
    """A captured os.environ is data like any other."""
    f = lift(lambda x: x * float(ENVIRONMENT["SCALE_OF_TEST"]))
    for scale in ("2.0", "3.0"):
        monkeypatch.setenv("SCALE_OF_TEST", scale)
        for _ in range(2):
            assert f(Value(5.0)).data == 5.0 * float(scale)


def test_attributes_that_raise_are_not_asked_for():
    """Objects whose attributes raise can be captured."""

    class Settings:
        def __getattr__(self, name):
            return {"scale": 2.0}[name]

    settings = Settings()
    assert lift(lambda x: x * settings.scale)(Value(3.0)).data == 6.0


def test_a_refusal_that_the_function_catches_stays_one():
    """A refusal that the function catches is raised at the end."""

    def f(x):
        try:
            return x * float(os.environ["HOME"])
        except Exception:  # noqa: BLE001
            return x * 10.0

    assert "the environment" in refusal(f, Value(1.0))


def test_what_libraries_read_on_their_own_account_is_allowed(tmp_path, monkeypatch):
    """Logging may read the clock, and an import may read files."""
    tmp_path.joinpath("imported_late.py").write_text(
        "import os, time\nSCALE = 2.0 if os.environ and time.time() else 3.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def f(x):
        time.sleep(0.0)
        logging.getLogger(__name__).info("time passes")
        import imported_late  # noqa: PLC0415

        return x * imported_late.SCALE

    assert lift(f)(Value(3.0)).data == 6.0


def test_tracing_leaves_the_users_profiler_as_it_was():
    """A profiler that is set, in Python or in C, is set again."""
    profile = cProfile.Profile()
    profile.enable()
    lift(lambda x: x * float(time.strptime("3", "%S").tm_sec))(Value(1.0))
    sorted([2, 1])
    profile.disable()
    assert any(
        name == "<built-in method builtins.sorted>" for _, _, name in pstats.Stats(profile).stats
    )
    seen = []
    sys.setprofile(lambda _frame, event, _argument: seen.append(event))
    try:
        lift(lambda x: x * float(time.strptime("3", "%S").tm_sec))(Value(1.0))
        seen.clear()
        sorted([2, 1])
    finally:
        sys.setprofile(None)
    assert seen


# Iterators.


class Counting:
    """Numbers its calls, with an iterator of its own, or of its class."""

    ours = itertools.count()

    def __init__(self):
        self.own = itertools.count()
        self.unused = iter([1.0])
        self.within = {"a": [iter([1.0, 2.0])]}


BATCHES = iter([1.0, 2.0, 3.0])
ITERATORS = {"a": (itertools.cycle([1.0, 2.0]),)}


@pytest.mark.parametrize(
    "take",
    [
        lambda x, c: x * next(COUNTER),
        lambda x, c: x * next(BATCHES),
        lambda x, c: x * sum(BATCHES),
        lambda x, c: x * [b for b in BATCHES][0],  # noqa: C416, RUF015
        lambda x, c: x * next(ITERATORS["a"][0]),
        lambda x, c, n=COUNTER: x * next(n),
        lambda x, c: x * next(c.own),
        lambda x, c: x * sum(c.within["a"][0]),
        lambda x, c: x * next(c.ours),
        lambda x, c: x * next(Counting.ours),
        lambda x, c: x * next(type(c).ours),
    ],
)
def test_iterators_that_outlive_the_call_are_refused(take):
    """The program would have the item of the first call."""
    message = refusal(take, Value(1.0), Counting())
    assert "takes items from" in message or "could not see it change" in message


@pytest.mark.parametrize(
    "made", [itertools.count(), iter([1.0]), (i for i in [1.0]), zip([1.0]), map(abs, [1.0])]
)
def test_iterators_as_arguments_are_refused(made):
    """An iterator as an argument is refused, too."""
    assert "could not see it change" in refusal(lambda x, i: x * next(i), Value(1.0), made)
    assert "could not see it change" in refusal(lambda x, i: x * next(i[0]), Value(1.0), [made])
    held = SimpleNamespace(own=made)
    message = refusal(lambda x, o: x * next(o.own), Value(1.0), held)
    assert "takes items from o.own, and runs once" in message


def test_iterators_that_the_function_makes_are_its_own():
    """A function may use iterators that it makes, and objects may hold unused ones."""

    def f(x, c):
        numbers = itertools.count()
        next(numbers)
        return x * next(numbers) + total(next(zip([x], [c.within], strict=True))[:1])

    assert lift(f)(Value(3.0), Counting()).data == 6.0


def test_containers_whose_change_cannot_be_seen_are_refused():
    """A captured deque is refused, since the lift could not see it change."""
    assert "QUEUE is a deque, and" in refusal(lambda x: x * QUEUE[0], Value(1.0))
