"""A lifted function keeps the programs that it used last, as many as are worth their memory."""

import gc
import random
import warnings
import weakref

import numpy as np
import pytest

from liftgrad import Value, lift, nn
from liftgrad.lift.native import machine_code as machine_code_module
from liftgrad.lift.native.cache import KernelCache
from liftgrad.lift.native.compiler import host
from liftgrad.lift.native.machine_code import MachineCode
from liftgrad.lift.recent import Recent

pytestmark = pytest.mark.filterwarnings("ignore:.*structures of arguments:RuntimeWarning")


@pytest.fixture
def without_collector():
    """What is freed here is freed at once."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def squares(xs):
    return sum(x * x for x in xs)


def check(f, size):
    xs = [Value(float(i)) for i in range(size)]
    result = f(xs)
    result.backward()
    assert result.data == sum(i * i for i in range(size))
    assert xs[-1].grad == 2.0 * (size - 1)


def test_many_structures_keep_a_bounded_number_of_programs():
    """Those used last are kept; one that was dropped is built again."""
    f = lift(backend="numpy")(squares)
    for size in range(1, 600):
        check(f, size)
    kept = f._programs.values
    assert sum(program.size() for program in kept.values()) <= f._programs.limit
    assert 50 < len(kept) < 599
    assert f.stats.traces == 599
    check(f, 599)
    check(f, 590)
    assert f.stats.traces == 599
    check(f, 5)
    assert f.stats.traces == 600


def test_what_was_used_last_stays():
    """Recently used values stay however old they are, and a few stay however large."""
    sizes = {"a": 4, "b": 4, "c": 4, "d": 100, "e": 1}
    dropped = []
    recent = Recent[str, str](sizes.__getitem__, dropped.append, limit=8, few=2)
    recent.add("a", "a")
    recent.add("b", "b")
    assert recent.get("a") == "a"
    recent.add("c", "c")
    assert dropped == ["b"]
    assert recent.get("b") is None
    recent.add("d", "d")
    assert dropped == ["b", "a"]
    recent.add("e", "e")
    assert list(recent.values) == ["d", "e"]


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_a_program_that_is_dropped_is_gone_at_once(backend):
    """Its memory goes with it, and its tape."""
    f = lift(backend=backend)(squares)
    f._programs.limit, f._programs.few = 0, 1
    check(f, 3)
    programs = weakref.ref(f._last)
    check(f, 4)
    assert programs() is None


def test_a_result_outlives_its_program():
    """It can be differentiated, whatever was called since."""
    f = lift(squares)
    f._programs.limit, f._programs.few = 0, 1
    xs = [Value(float(i)) for i in range(7)]
    result = f(xs)
    for size in range(1, 7):
        check(f, size)
    gc.collect()
    result.backward()
    assert [x.grad for x in xs] == [2.0 * i for i in range(7)]


def test_kernels_stay_loaded_as_long_as_a_program_uses_them(monkeypatch):
    """Others are unloaded, but for some that are likely to be used again."""
    code = MachineCode(host(), KernelCache(None))
    monkeypatch.setattr("liftgrad.lift.pipeline.machine_code", lambda: code)
    monkeypatch.setattr(machine_code_module, "_MOST_RECENT", 0)
    functions = [lift(lambda xs, k=k: sum(x**k for x in xs)) for k in (3, 5)]
    xs = [Value(2.0), Value(1.0)]
    for f in functions:
        f(xs)
    many = len(code._known)
    kept = functions.pop()
    del f
    functions.clear()
    gc.collect()
    assert 0 < len(code._known) < many
    assert kept(xs).data == 33.0
    monkeypatch.setattr(machine_code_module, "_MOST_RECENT", 100)
    lift(squares)(xs)
    gc.collect()
    assert len(code._known) >= len(code._recent) > 0


def test_memory_goes_with_the_model_that_it_was_for():
    """A function keeps no memory for models that are gone, but for the last one."""
    f = lift(lambda model, x: model(x) ** 2)
    x = np.ones(2)
    models = [nn.MLP(2, [3, 1]) for _ in range(5)]
    for model in models:
        f(model, x).backward()
    (program,) = f._programs.values.values()
    assert len(program.instances) == 5
    del model
    models.clear()
    gc.collect()
    assert len(program.instances) <= 1
    random.seed(1)
    model = nn.MLP(2, [3, 1])
    assert f(model, x).data == pytest.approx(model(x).data ** 2)


def test_many_structures_are_warned_of_once():
    """There is one warning, even if programs were dropped and built again."""
    f = lift(backend="numpy")(squares)
    f._programs.limit, f._programs.few = 0, 2
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for size in range(1, 60):
            check(f, size)
    assert [str(w.message).split(";")[0] for w in caught] == [
        "squares was built for 17 structures of arguments"
    ]


def test_helpers_that_were_replaced_are_not_kept():
    """A redefined helper is used, and the old one is collected."""
    helpers = []

    def f(x):
        return helper(x)

    lifted = lift(backend="numpy")(f)
    for k in range(200):

        def helper(x, k=float(k)):
            return x * k

        helpers.append(weakref.ref(helper))
        assert lifted(Value(2.0)).data == 2.0 * k
    gc.collect()
    assert sum(helper() is not None for helper in helpers) < 100


def test_functions_that_are_gone_leave_nothing_to_collect_for_ever():
    """Tracing does not keep the collector from freeing reference cycles."""
    gc.collect()
    made = []
    for k in range(300):
        f = lift(backend="numpy")(lambda x, k=float(k): x * k)
        assert f(Value(2.0)).data == 2.0 * k
        made.append(weakref.ref(f))
    assert sum(f() is not None for f in made) < 250
