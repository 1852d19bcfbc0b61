"""What cannot be lifted is refused in a sentence: the line, what is wrong, and what to do."""

import ctypes
import functools
import json
import math
import random
import re
import threading
import weakref
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pytest
from stages import values

from liftgrad import Trainer, Value, functional, get_num_threads, set_num_threads
from liftgrad.errors import LiftError, TraceError
from liftgrad.functional import mean, take, total, uniform, where
from liftgrad.lift.function import lift
from liftgrad.lift.stand_ins.vmap import vmap
from liftgrad.losses import hinge
from liftgrad.nn import Linear
from liftgrad.optim import SGD


def refusal(function, *arguments, error=TraceError):
    """Return the message, after checking its form and that it names the function's line."""
    with pytest.raises(error) as caught:
        lift(function)(*arguments)
    message = str(caught.value)
    assert re.search(r"[.)]$", message)
    assert "\n" not in message
    if error is TraceError:
        place, _, message = message.partition(": ")
        first = function.__code__.co_firstlineno
        assert re.fullmatch(rf"{re.escape(__file__)}:{first}|.*:{first + 1}|.*:{first + 2}", place)
    return message


@pytest.mark.parametrize(
    "branch",
    [
        lambda p: p[0] if p[0] > 0 else p[1],
        lambda p: p[0] > 0 and p[1],
        lambda p: p[0].data or p[1],
        lambda p: not p[0].data,
        lambda p: where(0 < p[0] < 2, p[0], p[1]),
        lambda p: sorted(p)[1],
        lambda p: p[2].data in [1.0, 2.0],
        lambda p: [x for x in p if x.data],
    ],
    ids=["if", "and", "or", "not", "chain", "sorted", "in", "filter"],
)
def test_a_branch_on_a_traced_value(branch):
    """A Python branch on a traced value is refused."""
    message = refusal(branch, values(3))
    assert "a Python branch" in message
    assert "where(condition, a, b)" in message
    assert "static argument" in message


def test_the_largest_in_a_method():
    """Python's max in a method is refused, with functions that serve the purpose."""

    class Net:
        def __call__(self, p):
            shift = max(x.data for x in p)
            return sum((x - shift).exp() for x in p)

    with pytest.raises(TraceError, match=r"max\(\) or min\(\).*softmax\(xs\) or logsumexp\(xs\)"):
        lift(lambda p, net: net(p))(values(2), Net())
    assert "max() or min()" in refusal(lambda p: max(p, key=lambda x: x.data), values(2))


@pytest.mark.parametrize(
    "conversion",
    [lambda p: float(p[0]), lambda p: int(p[0]), lambda p: p[p[0]], lambda p: math.exp(p[0])],
    ids=["float", "int", "index", "math"],
)
def test_a_traced_value_has_no_number(conversion):
    """Whatever needs the number of a traced value is refused."""
    message = refusal(conversion, values(3))
    assert "has no number" in message
    assert "liftgrad.functional" in message


def test_a_value_of_an_earlier_call():
    """A traced value that was stored out of sight is refused when it is used again."""
    kept = ctypes.py_object()

    def store(p):
        kept.value = SimpleNamespace(value=p[0] * 2.0, condition=p[0] > 0.0)
        return p[1] * 1.0

    lift(store, check=False)(values(2))
    for use in (
        lambda p: p[0] * kept.value.value,
        lambda p: kept.value.value * p[0],
        lambda p: where(kept.value.condition, p[0], p[1]),
        lambda p: where((p[0] > 0.0) & kept.value.condition, p[0], p[1]),
        lambda p: where(kept.value.condition | (p[0] > 0.0), p[0], p[1]),
    ):
        with pytest.raises(LiftError, match="an earlier call"):
            lift(use)(values(2))
    for leak in (
        lambda p: kept.value.value,
        lambda p: kept.value.condition,
        lambda p: kept.value.value + 1.0,
    ):
        with pytest.raises(LiftError, match="an earlier call"):
            lift(leak)(values(2))


@pytest.mark.parametrize(
    "arithmetic",
    [
        lambda p, X: X * 2.0,
        lambda p, X: p[0] + X,
        lambda p, X: np.ones(3) - X,
        lambda p, X: X[0:2] @ p[:2],
        lambda p, X: -X,
    ],
    ids=["times", "plus", "from an array", "of a slice", "minus"],
)
def test_arithmetic_on_a_whole_array(arithmetic):
    """NumPy's arithmetic on whole arrays is refused in favour of a loop."""
    message = refusal(arithmetic, values(3), np.ones(3))
    assert "an array is used as one number" in message
    assert "loop over its elements" in message


@pytest.mark.parametrize(
    ("draws", "name"),
    [
        (lambda p: p[0] * random.random(), "random"),
        (lambda p: p[0] + random.choice([1.0, 2.0]), "random"),
        (lambda p: p[0] * float(np.random.rand()), "numpy.random"),  # noqa: NPY002
    ],
    ids=["random", "choice", "numpy"],
)
def test_random_numbers_that_would_stay_those_of_the_first_call(draws, name):
    """Numbers from a generator are refused; uniform() draws at each call."""
    message = refusal(draws, values(2), error=LiftError)
    assert f"draws numbers from {name}, and runs once" in message
    assert "functional.uniform(x)" in message
    anew = lift(lambda p: p[0] * uniform(p[0]))
    assert anew(values(2)).data != anew(values(2)).data


def test_random_numbers_are_refused_though_threads_share_large_batches():
    """Idle worker threads draw nothing, so the refusal is certain."""
    before, X = get_num_threads(), np.ones((100_000, 2))
    set_num_threads(2)
    try:
        lift(lambda p, X: mean(vmap(lambda x: p[0] * x[0] + p[1] * x[1])(X)))(values(2), X)
        assert threading.active_count() > 1
        refusal(lambda p: p[0] * random.random(), values(2), error=LiftError)
    finally:
        set_num_threads(before)


def test_random_numbers_are_refused_though_there_are_threads():
    """Code that mentions drawing is refused while other threads run."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        refusal(lambda p: p[0] * random.random(), values(2))
        refusal(lambda p: p[0] * float(np.random.rand()), values(2))  # noqa: NPY002
    finally:
        over.set()
        thread.join()


def test_random_numbers_that_another_thread_may_have_drawn():
    """If another thread may have drawn, there is a warning instead."""
    begin, over = threading.Barrier(2), threading.Barrier(2)

    def draw():
        begin.wait()
        random.random()
        over.wait()

    thread = threading.Thread(target=draw)
    thread.start()

    def innocent(p):
        begin.wait()
        over.wait()
        return p[0] * 2.0

    with pytest.warns(RuntimeWarning, match=r"draws numbers from random.*another thread"):
        lift(innocent, check=False)(values(2))
    thread.join()


def test_a_value_that_is_no_argument():
    """A Value that is neither passed nor captured would be baked in."""
    hidden = [Value(3.0)]
    message = refusal(lambda p, get: p[0] * get(0), values(2), hidden.__getitem__)
    assert "a Value that is not an argument" in message
    assert "pass it" in message


@pytest.mark.parametrize(("k", "shown"), [(3, "3"), (-1, "-1"), (2**62, str(2**62))])
def test_an_index_out_of_range(k, shown):
    """It is an IndexError at every call, whether or not the program exists."""
    f = lift(lambda p, k: take(p, k[0]) * 2.0)
    assert f(values(3), np.array([2])).data == 6.0
    with pytest.raises(IndexError, match=rf"take\(\) at index {shown} of a table of 3.*0 to 2"):
        f(values(3), np.array([k]))
    assert f(values(3), np.array([0])).data == 2.0


def test_the_smallest_table_decides():
    """An index that is used in several tables must fit all of them."""
    f = lift(lambda p, k: take(p, k[1]) * take(p[:2], k[1]) + k[0])
    assert f(values(3), np.array([99, 1])).data == 4.0 + 99.0
    with pytest.raises(IndexError, match="at index 2 of a table of 2"):
        f(values(3), np.array([0, 2]))


def test_an_index_of_a_sample_out_of_range():
    """An index that differs from sample to sample is checked for each."""
    f = lift(lambda p, k: total(vmap(lambda i: take(p, i))(k)))
    assert f(values(3), np.array([0, 1, 2, 2])).data == 9.0
    for wrong in ([0, 3], [-1, 0], [0] * 40 + [7]):
        with pytest.raises(IndexError, match=r"take\(\) at index"):
            f(values(3), np.array(wrong))


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_an_index_out_of_range_whose_result_is_not_used(backend):
    """It is an IndexError, as it is eagerly, also within vmap."""

    def alone(p, k):
        take(p, k[0])
        return p[0] * 2.0

    def mapped(p, k):
        def of_sample(i):
            take(p, i)
            return p[0] * 2.0

        return total(vmap(of_sample)(k))

    for function in (alone, mapped):
        f = lift(backend=backend)(function)
        for _ in range(3):
            assert f(values(3), np.array([2])).data == 2.0
            for wrong in (3, -1):
                with pytest.raises(IndexError, match=rf"take\(\) at index {wrong} of a table of 3"):
                    f(values(3), np.array([wrong]))


def test_an_index_out_of_range_whose_result_a_training_does_not_use():
    """A training stops before the first step."""

    def loss(p, k):
        def of_sample(i):
            take(p, i)
            return p[0] * p[0]

        return mean(vmap(of_sample)(k))

    for backend in ("native", "numpy"):
        p = values(3)
        trainer = Trainer(lift(backend=backend)(loss), SGD(p, lr=0.1), batch_size=2)
        with pytest.raises(IndexError, match=r"take\(\) at index 3 of a table of 3"):
            trainer.fit(1, p, np.array([0, 1, 2, 3]))
        assert p[0].data == 1.0


def test_integers_beyond_int64():
    """Unsigned integers that int64 cannot hold are refused."""
    k = np.array([2**63], np.uint64)
    with pytest.raises(IndexError, match="at index 9223372036854775808"):
        lift(lambda p, k: take(p, k[0]))(values(3), k)
    assert "beyond int64" in refusal(lambda p, k: p[0] * k[0], values(1), k, error=LiftError)


@pytest.mark.parametrize(
    "indexing",
    [
        lambda p, k: p[k[0]],
        lambda p, k: [x for i in range(k[0]) for x in p],
        lambda p, k: p[: k[0]],
    ],
)
def test_a_run_time_index_is_no_python_index(indexing):
    """table[index] is refused in favour of take(table, index)."""
    message = refusal(indexing, values(3), np.array([1]))
    assert "write take(table, index) for table[index]" in message


def test_one_of_several_indices_of_an_array():
    """array[i, j] with a run-time index is refused."""
    message = refusal(lambda p, X, k: p[0] * X[k[0], 1], values(1), np.ones((3, 3)), np.array([1]))
    assert "take(array, i)[j]" in message
    f = lift(lambda p, X, k: p[0] * X[k[0]][1])
    assert f(values(1), np.arange(9.0).reshape(3, 3), np.array([1])).data == 4.0


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda p, k: take([p[:1], p[:2]], k[0]), "rows of different lengths"),
        (lambda p, k: take([], k[0]), "an empty table"),
    ],
)
def test_tables_without_shape(read, words):
    """take() from an empty or a ragged table is refused."""
    assert words in refusal(read, values(3), np.array([0]))


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda p, X: vmap(lambda x: x * p[0])(X) * 2.0, "used as one number"),
        (lambda p, X: p[0] + vmap(lambda x: x * p[0])(X), "used as one number"),
        (lambda p, X: sum(vmap(lambda x: x * p[0])(X)), "no fixed number"),
        (lambda p, X: hinge(vmap(lambda x: x * p[0])(X), X), "loss in the mapped function"),
        (lambda p, X: total(vmap(lambda x: x * p[0])(X)) + X[0], "mapped over by vmap and indexed"),
        (lambda p, X: total(vmap(lambda x: x * p[0])(X[1:])), "part of an array"),
    ],
)
def test_results_of_vmap_are_not_numbers(use, words):
    """The results of vmap must be totalled or averaged, or returned."""
    assert words in refusal(use, values(1), np.ones(3))


@pytest.mark.parametrize("samples", [1, 3])
def test_a_number_of_one_sample_outside_of_its_map(samples):
    """A sample's number must not be used outside of vmap, even in a batch of one."""

    def leak(p, X):
        kept = []
        vmap(lambda x: kept.append(x * p[0]) or x)(X)
        return kept[0]

    assert "one sample's numbers" in refusal_at_call(leak, values(1), np.ones(samples))


def refusal_at_call(function, *arguments):
    with pytest.raises(TraceError) as caught:
        lift(function)(*arguments)
    assert __file__ in str(caught.value)
    return str(caught.value)


def test_arrays_of_different_length():
    """Arrays that are mapped together must be of one length, at every call."""
    f = lift(lambda p, X, Y: total(vmap(lambda x, y: x * y * p[0])(X, Y)))
    with pytest.raises(ValueError, match=r"lengths \[3, 4\]"):
        f(values(1), np.ones(3), np.ones(4))
    f(values(1), np.ones(3), np.ones(3))
    with pytest.raises((LiftError, ValueError), match=r"different lengths|of lengths"):
        f(values(1), np.ones(3), np.ones(4))


@pytest.mark.parametrize(
    "array", [np.ones(2, complex), np.array(["a"]), np.array(["2026-01-01"], "M8[D]")]
)
def test_arrays_of_other_things(array):
    """Arrays of complex numbers, texts and the like are refused."""
    with pytest.raises(LiftError, match="takes arrays of floats"):
        lift(lambda p, x: p[0] * 1.0)(values(1), array)


class Cell:
    """A recurrent network that keeps its state to itself."""

    def __init__(self):
        self.h = 0.0

    def __call__(self, p):  # noqa: D102
        self.h = self.h * 0.5 + p[0]
        return self.h


class Noting:
    """A module in the manner of makemore, which notes down what it computed."""

    def __init__(self, w):
        self.w = w

    def __call__(self, x):  # noqa: D102
        self.out = x * self.w
        self.both = [self.out, (x,)]
        return self.out


def test_results_in_new_attributes_are_allowed_and_not_kept():
    """No call depends on an attribute that was not there before."""
    module = Noting(Value(3.0))
    f = lift(lambda module, x: module(module(x[0])) + module.out)
    for x in (2.0, 5.0):
        module.w.grad = 0.0
        total = f(module, np.array([x]))
        total.backward()
        assert total.data == 18.0 * x
        assert module.w.grad == 12.0 * x
    assert not hasattr(module, "out")
    captured = Noting(Value(3.0))
    g = lift(lambda x: captured(x[0]))
    assert g(np.array([2.0])).data == 6.0
    assert not hasattr(captured, "out")


def test_results_in_existing_attributes_are_refused():
    """The function may have read them before it set them."""
    module = Noting(Value(3.0))
    module.out = 1.0
    message = refusal_at_call(lambda module, x: module(x[0]), module, np.ones(1))
    assert " module is changed by the lifted function" in message


def test_numbers_in_new_attributes_are_refused():
    """Only results may be stored, and a plain number is none."""

    class Counting(Noting):
        def __call__(self, x):
            self.calls = 1
            return super().__call__(x)

    message = refusal_at_call(lambda m, x: m(x[0]), Counting(Value(3.0)), np.ones(1))
    assert " m is changed by the lifted function" in message


COUNT = 0
LOG = []


def test_a_function_that_changes_what_outlives_it():
    """The second call would not make the change."""
    count, log = 0, {}

    def global_variable(p):
        global COUNT  # noqa: PLW0603, which is what is refused
        COUNT += 1
        return p[0] * COUNT

    def variable_around(p):
        nonlocal count
        count += 1
        return p[0] * count

    def global_list(p):
        LOG.append(p[0])
        return p[0] * len(LOG)

    def dict_around(p):
        log["last"] = p[0] * log.get("last", 1.0)
        return log["last"]

    for function, name in (
        (global_variable, "COUNT"),
        (variable_around, "count"),
        (global_list, "LOG"),
        (dict_around, "log"),
    ):
        message = refusal_at_call(function, values(1))
        assert f" {name} is changed by the lifted function" in message
        assert "return the new value" in message
    message = refusal_at_call(lambda cell, p: cell(p), Cell(), values(1))
    assert " cell is changed" in message
    message = refusal_at_call(lambda p, xs: p[0] * xs["a"].pop(), values(1), {"a": [1.0, 2.0]})
    assert " xs.a is changed" in message
    assert (COUNT, LOG, count, log) == (0, [], 0, {})


def test_a_function_may_change_what_it_made_itself():
    """Lists and objects that the function made may be changed."""

    @lift
    def f(p):
        log, best = [], {}
        for i, x in enumerate(p):
            log.append(x * x)
            best[i] = log[-1]
        p = [*p, total(log)]
        return p[-1] + best[1]

    assert f(values(3)).data == 14.0 + 4.0


class Squares:
    """Things that can be called and are no functions."""

    def __call__(self, x):  # noqa: D102
        return x * x

    def method(self, x):  # noqa: D102
        return x * x


def yields(x):
    """Give results one by one."""
    yield x * x


async def later(x):
    """Give the result later."""
    return x * x


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (staticmethod(lambda x: x), "write @staticmethod above @lift, not below it"),
        (classmethod(lambda c, x: x), "write @classmethod above @lift, not below it"),
        (property(lambda self: self), "write @property above @lift, not below it"),
        (math.exp, "exp, which is not written in Python; call a function of liftgrad.functional"),
        (np.exp, "exp, which is not written in Python"),
        (Squares, "the class Squares; decorate one of its methods"),
        (functional.exp, "the operation exp;.*: lift(lambda x: exp(x))"),
        (functional.maximum, "the operation maximum;.*: lift(lambda *xs: maximum(*xs))"),
        (Squares(), "an object of the class Squares;.*: lift(lambda object, x: object(x))"),
        (
            Squares().method,
            "write @lift above its definition.*(lambda object, x: object.method(x))",
        ),
        (Linear(2, 1), "a model, Linear;.*: lift(lambda model, x: model(x))"),
        (functools.partial(max, 1.0), "functools.partial; lift the function, and pass all"),
        (functools.cache(Squares.method), "lift the function itself, method.__wrapped__"),
        (yields, "yields is a generator function; return a list"),
        (later, "later is an async function"),
        (3.0, "this is a float; write a function"),
        ("float32", "this is text; options are named, as in @lift(dtype='float32')"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_what_is_no_function(given, words):
    """The advice depends on what was passed to lift(); the traceback has one frame of ours."""
    for decorate in (lift, lift(dtype="float32")):
        with pytest.raises(LiftError, match=".*".join(map(re.escape, words.split(".*")))) as caught:
            decorate(given)
        message = str(caught.value)
        assert message.startswith("lift() takes a function")
        assert message.endswith(".")
        assert len(caught.traceback) == 2


def test_decorators_above_it():
    """staticmethod, classmethod and property work above @lift."""

    class Model:
        def __init__(self):
            self.w = Value(3.0)

        @staticmethod
        @lift
        def square(x):
            return x * x

        @classmethod
        @lift
        def of_class(cls, x):
            return x * x

        @property
        @lift
        def twice(self):
            return self.w * 2.0

        @lift
        def scaled(self, x):
            return self.w * x

    model = Model()
    results = (model.square(2.0), model.of_class(2.0), model.twice, model.scaled(2.0))
    assert [y.data for y in results] == [4.0, 4.0, 6.0, 6.0]


# What other code makes of numbers that are not known.


@pytest.mark.parametrize(
    "use",
    [
        lambda v, x: v * len(json.dumps([x[0]])),
        lambda v, x: v * float(Decimal(x[0])),
        lambda v, x: v * memoryview(x)[0],
        lambda v, x: weakref.ref(v)() * 2.0,
    ],
)
def test_an_error_that_only_lifting_brings_about(use):
    """It is refused in a sentence with the line, whatever its class."""
    message = refusal(use, Value(3.0), np.array([1.0, 2.0]))
    assert "Error: " in message
    assert "but only if the function is lifted" in message
    assert "Traced" not in message


@pytest.mark.parametrize("error", [ValueError("too few"), KeyError("a"), RuntimeError("stop")])
def test_an_error_of_the_function_itself(error):
    """An error that the eager function raises, too, comes out unchanged."""

    def fail(_):
        raise error

    with pytest.raises(type(error)) as caught:
        lift(fail)(Value(1.0))
    assert caught.value is error


def test_a_mean_over_no_samples_is_refused():
    """So it is if the program exists already; a total over none is 0."""
    f = lift(lambda v, X: mean(vmap(lambda x: v * x)(X)))
    assert f(Value(2.0), np.ones(3)).data == 2.0
    with pytest.raises(ValueError, match="mean of no numbers is undefined; pass at least one row"):
        f(Value(2.0), np.ones(0))
    assert f(Value(2.0), np.ones(2)).data == 2.0
    assert lift(lambda v, X: total(vmap(lambda x: v * x)(X)))(Value(2.0), np.ones(0)).data == 0.0
