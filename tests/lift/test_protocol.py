"""What Python asks of a traced value is answered as the eager one answers it, or refused.

Python's data model is gone through: every special method, every attribute, on a Value, a float, an
element of an array, one of an integer array, an array and a condition. A lifted program may never
take another way than the eager one in silence.
"""

import copy
import math
import operator
import pickle
import re
from functools import partial

import numpy as np
import pytest

from liftgrad import Value
from liftgrad.errors import LiftError, TraceError
from liftgrad.functional import where
from liftgrad.lift.function import lift
from liftgrad.optim import SGD

KINDS = {
    "Value": (lambda v, x, X, K: v, lambda: Value(3.0)),
    "float": (lambda v, x, X, K: x, lambda: 3.0),
    "element": (lambda v, x, X, K: X[1], lambda: np.float64(2.0)),
    "index": (lambda v, x, X, K: K[1], lambda: np.int64(2)),
    "array": (lambda v, x, X, K: X, lambda: np.array([1.0, 2.0])),
    "condition": (lambda v, x, X, K: v > 1.0, lambda: True),
    "condition on elements": (lambda v, x, X, K: X[1] > 1.0, lambda: np.True_),
}
CLASSES = (Value, float, int, bool, complex, str, list, np.ndarray, np.floating, np.integer)


def _is_a(kind, a):
    return isinstance(a, kind)


UNARY = {
    **{f.__name__: f for f in (float, int, complex, bool, round, abs, str, repr, bytes)},
    **{f.__name__: f for f in (len, list, tuple, set, iter, reversed, next, sum, any, all, vars)},
    **{f.__name__: f for f in (sorted, max, min, callable, enumerate, divmod, bin, chr, range)},
    **{f"isinstance {k.__name__}": partial(_is_a, k) for k in CLASSES},
    **{f"math.{f}": getattr(math, f) for f in ("exp", "sqrt", "floor", "ceil", "trunc", "isnan")},
    **{f"operator.{f}": getattr(operator, f) for f in ("index", "neg", "pos", "invert", "not_")},
    **{f"copy.{f}": getattr(copy, f) for f in ("copy", "deepcopy")},
    "pickle": pickle.dumps,
    "hash": lambda a: hash(a) == hash(a),
    "format": lambda a: f"{a}",
    "format .2f": lambda a: f"{a:.2f}",
    "percent": "%s".__mod__,
    "percent f": "%f".__mod__,
    "type": lambda a: type(a) is float,
    "type is Value": lambda a: type(a) is Value,
    "class": lambda a: a.__class__ is float,
    "class is Value": lambda a: a.__class__ is Value,
    "class by name": lambda a: len(a.__class__.__name__),
    "an array of floats": lambda a: np.zeros(2, dtype=float).dtype.kind == "f" and a,
    "isinstance of several": lambda a: isinstance(a, (int, float)),
    "in a list": lambda a: a in [1.0, 2.0, 3.0],
    "not in a list": lambda a: a not in [1.0, 7.0],
    "itself in a list": lambda a: a in [a, a],
    "index in a list": [1.0, 2.0, 3.0].index,
    "count in a list": [1.0, 2.0, 3.0].count,
    "in a set": lambda a: a in {1.0, 2.0, 3.0},
    "dict get": lambda a: {2.0: 5.0, 3.0: 6.0}.get(a, 7.0),
    "dict key": lambda a: {2.0: 5.0, 3.0: 6.0, True: 1.0}[a],
    "own key": lambda a: {a: 4.0}[a],
    "setdefault": lambda a: len({2.0: 1.0, 3.0: 1.0, 1: 1.0} | {a: 1.0}),
    "list item": lambda a: [5.0, 6.0, 7.0, 8.0][a],
    "slice": lambda a: len([5.0, 6.0, 7.0, 8.0][:a]),
    "repeat": lambda a: len([1.0] * a),
    "if": lambda a: 1.0 if a else 2.0,
    "not": lambda a: not a,
    "and": lambda a: (a and 5.0) is a,
    "or": lambda a: a or 5.0,
    "while": lambda a: next(1.0 for _ in iter(lambda: not a, True)),
    "is None": lambda a: a is None,
    "is itself": lambda a: a is a,
    "equal tuples": lambda a: (a,) == (a,),
    "equal lists": lambda a: [a] == [3.0],
    "chained": lambda a: 0.0 < a < 2.5,
    "call": lambda a: a(),
    "item": lambda a: a[0],
    "item -1": lambda a: a[-1],
    "slice of it": lambda a: len(a[:1]),
    "contains": lambda a: 2.0 in a,
    "unpack": lambda a: len([*a]),
    "unpack dict": lambda a: len(dict(**a)),
    "with": lambda a: a.__enter__(),
    "matmul": lambda a: a @ a,
    "np.exp": np.exp,
    "np.sum": np.sum,
    "np.mean": np.mean,
    "np.asarray": lambda a: float(np.asarray(a).sum()),
    "np.array": lambda a: float(np.array([a, a]).sum()),
    "np.isnan": np.isnan,
    "np.maximum": lambda a: np.maximum(a, 2.5),
    "np.isscalar": np.isscalar,
    "math.fsum": lambda a: math.fsum([a, a]),
    "pow 3": lambda a: pow(a, 2, 3),
    "attribute": lambda a: getattr(a, "something", 7.0),
    "no attribute": lambda a: hasattr(a, "shape"),
    "swallowed": lambda a: _or_ten(lambda: float(a)),
    "swallowed math": lambda a: _or_ten(lambda: math.sqrt(a)),
    "swallowed numpy": lambda a: _or_ten(lambda: np.log(a)),
    "swallowed index": lambda a: _or_ten(lambda: [1.0, 2.0, 3.0, 4.0][a]),
    "swallowed branch": lambda a: _or_ten(lambda: 1.0 if a > 2.5 else 2.0),
    "max with": lambda a: max(a, 2.5),
    "min with": lambda a: min(2.5, a),
    "max of list": lambda a: max([1.0, a, 2.5]),
    "set attribute": lambda a: setattr(a, "something", 1.0),
    "set label": lambda a: setattr(a * 2.0, "label", "a"),
    "delete attribute": lambda a: delattr(a, "data"),
    "iadd": lambda a: operator.iadd(a, 1.0),
    "isub": lambda a: operator.isub(a, 1.0),
    "set item": lambda a: operator.setitem(a, 0, 1.0),
    "del item": lambda a: operator.delitem(a, 0),
}
BINARY = {
    name: getattr(operator, name)
    for name in (
        *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"),
        *("eq", "ne", "lt", "le", "gt", "ge", "and_", "or_", "xor", "lshift", "rshift"),
        *("contains", "is_", "is_not", "concat"),
    )
} | {"divmod": divmod, "max": max, "min": min}
OTHERS = (
    *(2, 2.5, True, np.float64(2.5), np.int64(2), np.True_, "a", None),
    *(Ellipsis, (1.0,), Value(2.5), np.array([1.0, 2.0])),
)


def _or_ten(get):
    try:
        return get()
    except Exception:  # noqa: BLE001
        return 10.0


def encoded(result):
    """Return a number that tells the result from others, of whatever kind it is."""
    if result is None:
        return 1000.0
    if isinstance(result, (int, float, Value, np.number, np.bool_)):
        return result * 1.0
    if isinstance(result, str):
        return 2000.0 + len(result)
    if isinstance(result, (list, tuple)):
        return 3000.0 + len(result)
    return 4000.0


def outcome(function, *arguments):
    """Return the number that a call gives, or the kind of error."""
    try:
        result = function(*arguments)
    except Exception as error:  # noqa: BLE001
        return type(error)
    return result.data if isinstance(result, Value) else result


def arguments():
    return Value(3.0), 3.0, np.array([1.0, 2.0]), np.array([1, 2])


def compare(choose, ask):
    """Run both ways, and return the lifted outcome; it is the eager one, or a refusal."""

    def program(v, x, X, K):
        return encoded(ask(choose(v, x, X, K))) + v

    eager, lifted = outcome(program, *arguments()), outcome(lift(program), *arguments())
    refused = isinstance(lifted, type) and issubclass(lifted, Exception)
    if isinstance(eager, type):
        assert refused, (eager, lifted)
    elif not (refused and issubclass(lifted, LiftError)):
        assert lifted == pytest.approx(eager, rel=1e-15, nan_ok=True)
    return lifted


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_every_question_has_the_eager_answer_or_is_refused(kind):
    """What Python and NumPy ask of one object has the eager answer."""
    choose, _ = KINDS[kind]
    for name, ask in UNARY.items():
        try:
            compare(choose, ask)
        except AssertionError as error:
            raise AssertionError(f"{name} of {kind}: {error}") from None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_every_operator_has_the_eager_result_or_is_refused(kind):
    """Operators are tried from both sides, with numbers of all classes and with other objects."""
    choose, _ = KINDS[kind]
    for name, apply in BINARY.items():
        for other in OTHERS:
            if name == "mod" and isinstance(other, str):
                continue  # formats text, for which NumPy's scalars are a mapping
            if "condition" in kind and name in ("is_", "is_not"):
                continue  # no object can say that it is another one, as equal bools are
            for ask in (
                lambda a, apply=apply, other=other: apply(a, other),
                lambda a, apply=apply, other=other: apply(other, a),
            ):
                try:
                    compare(choose, ask)
                except AssertionError as error:
                    raise AssertionError(f"{name} of {kind}, {other!r}: {error}") from None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_every_operator_on_two_traced_values(kind, other):
    """Operators are tried on stand-ins of all kinds."""
    for name, apply in BINARY.items():
        if "condition" in kind and name in ("is_", "is_not"):
            continue  # no object can say that it is another one, as equal bools are

        def both(v, x, X, K):
            return KINDS[kind][0](v, x, X, K), KINDS[other][0](v, x, X, K)

        try:
            compare(both, lambda ab, apply=apply: apply(*ab))
        except AssertionError as error:
            raise AssertionError(f"{name} of {kind} and {other}: {error}") from None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_every_attribute_is_there_or_not_as_eagerly(kind):
    """hasattr, or getattr with a default, may decide what a program does."""
    choose, example = KINDS[kind]
    names = {name for _, make in KINDS.values() for name in dir(make()) if name[0] != "_"}
    protocols = {f"__{n}__" for n in ("len", "iter", "next", "getitem", "setitem", "call", "enter")}
    for name in sorted({*names, *protocols, "something", "_x"}):
        lifted = outcome(lift(_has(choose, name)), *arguments())
        if not (isinstance(lifted, type) and issubclass(lifted, LiftError)):
            there = hasattr(example(), name)
            assert lifted == (4.0 if there else 3.0), f"{name} of {kind}: {lifted}, {there}"


def _has(choose, name):
    return lambda v, x, X, K: v + 1.0 if hasattr(choose(v, x, X, K), name) else v + 0.0


RIGHT = {
    "conditions are compared": lambda v, x, X, K: ((v > 1.0) == (x > 5.0)) * 2.0 + v,
    "conditions are counted": lambda v, x, X, K: sum(a > 1.5 for a in X) / len(X) + v,
    "a condition is negated": lambda v, x, X, K: where((v > 1.0) ^ True, 5.0, v),
    "a Value is a Value": lambda v, x, X, K: v * 2 if isinstance(v, Value) else v,
    "a float is one": lambda v, x, X, K: v * 2 if isinstance(x, float) else v,
    "by its type, too": lambda v, x, X, K: v * 2 if type(x) is float else v,
    "so is a Value": lambda v, x, X, K: v * 2 if type(v) is Value else v,
    "the number of a Value": lambda v, x, X, K: v * 2 if isinstance(v.data, float) else v,
    "no Value": lambda v, x, X, K: v * 2 if not isinstance(x, Value) else v,
    "an array is one": lambda v, x, X, K: v * 2 if isinstance(X, np.ndarray) else v,
    "a Value is true": lambda v, x, X, K: v * 2 if v else v,
    "Values are told apart": lambda v, x, X, K: v * 2 if v not in [v * 1.0, v * 2.0] else v,
    "a shift by the largest": lambda v, x, X, K: v - max(a for a in X) + max(v.data, x),
    "the larger Value": lambda v, x, X, K: max(v, v * x) * min(1.0, v) - max(0, v - 10.0),
    "float() of what is one": lambda v, x, X, K: v * float(x) + float(X[1]) + float(K[1]),
    "a constant": lambda v, x, X, K: Value(float(x)) * v + Value(v.data),
    "arrays are rearranged": lambda v, x, X, K: v * X.reshape(2, 1).T[0][1] + X.ravel()[0],
    "arrays are summed": lambda v, x, X, K: v * X.sum() + X.mean() + sum(X.tolist()),
    "a condition as a number": lambda v, x, X, K: v * (X[1] > 1.5).item() + (v > 5.0).real,
    "its conjugate": lambda v, x, X, K: v * (X[1] > 1.5).conjugate() + (x > 1.0).conjugate(),
    "no such attribute": lambda v, x, X, K: v * getattr(x, "data", 5.0),
    "indices are numbers": lambda v, x, X, K: v * (K[1] + 1) / K[0] - K[0] ** 2,
    "a largest number beside nan": lambda v, x, X, K: v * max([x, float("nan"), x * 2.0]),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_has_an_answer_is_answered(name):
    """A refusal of everything would pass the tests above."""
    program = RIGHT[name]
    v, *others = arguments()
    eager = program(v, *others)
    eager.backward()
    expected = v.grad
    v, *others = arguments()
    lifted = lift(program)(v, *others)
    lifted.backward()
    assert (lifted.data, v.grad) == (eager.data, expected)


@pytest.mark.parametrize(
    "product",
    [
        np.dot,
        lambda W, X: W @ X,
        lambda W, X: X @ W,
        lambda W, X: W * X + X,
        lambda W, X: X - W,
        lambda W, X: np.outer(X, W),
    ],
)
def test_arrays_of_values_meet_arrays_of_numbers(product):
    """NumPy multiplies arrays of objects element by element."""
    X = np.array([[1.0, 2.0], [3.0, 4.0]])

    def program(W, X):
        return sum((product(W, X) ** 2).ravel().tolist())

    outcomes = []
    for function in (program, lift(program)):
        W = np.array([[Value(1.0), Value(-2.0)], [Value(0.5), Value(3.0)]])
        result = function(W, X)
        result.backward()
        outcomes.append([result.data, *[w.grad for w in W.ravel()]])
    assert outcomes[1] == pytest.approx(outcomes[0], rel=1e-14)


def test_a_refusal_that_the_program_catches_is_raised():
    """However it is caught, and whatever is raised in its place."""

    def swallows(v, x):
        try:
            k = math.floor(x)
        except Exception:  # noqa: BLE001
            k = 10.0
        return v * k

    def replaces(v, x):
        try:
            return v * math.floor(x)
        except TraceError:
            raise ValueError("something else") from None

    def suppresses(v, x):
        return v * next((k for k in (3, 4) if _equal(k, x)), 1)

    for function in (swallows, replaces, suppresses):
        lifted = lift(function)
        for _ in range(2):
            with pytest.raises(
                TraceError, match=r"test_protocol.py:\d+: .*not known|has no number"
            ):
                lifted(Value(3.0), 3.0)


OPTIMIZER = SGD([Value(1.0)], lr=0.1)


def _whole_step(v):
    OPTIMIZER.zero_grad()
    OPTIMIZER.step()
    return v * v


def _set(v):
    v.moment = 0.0
    return v * v


@pytest.mark.parametrize(
    ("function", "cure"),
    [
        (lambda v: (v * v).backward() or v, "call backward() on what the call returns"),
        (lambda v: v * v.grad, "backward() or .grad in a lifted function"),
        (_whole_step, "call them outside of it, or use a Trainer"),
        (_set, "'Value' object has no attribute 'moment' in a lifted function"),
        (lambda v: v.detach(), "'Value' object has no attribute 'detach' in a lifted function"),
        (lambda v: f"{v:.2f}" and v, "return it and print what the call returns"),
        (lambda v: np.exp(v), "use its methods and the functions of liftgrad.functional"),  # noqa: PLW0108
        (lambda v: math.exp(v), "functions of liftgrad.functional instead of those of math"),  # noqa: PLW0108
        (lambda v: v * (v.data // 1.0), "compute it before the call and pass it"),
        (lambda v: v * {2.0: 1.0}[v.data], "use take(list, index)"),
    ],
)
def test_frequent_mistakes_get_their_cure(function, cure):
    """Each is refused with the user's line and what to write, at each call."""
    with pytest.raises(TraceError, match=re.escape(cure)) as caught:
        lift(function)(Value(2.0))
    assert str(caught.value).startswith(f"{__file__}:")


@pytest.mark.parametrize(
    ("function", "cure"),
    [
        (lambda v, X: v * X.mean(axis=0)[0], "loop over its rows, or its columns by X.T"),
        (lambda v, X: v * X.std(), ".std of an array whose numbers are not known"),
        (lambda v, X: v * np.sum(X), "an array is passed to NumPy"),
        (lambda v, X: v * X[X > 0.0].sum(), "an array is used as one number"),
        (lambda v, X: v * (1.0 in X), "compare element by element"),
    ],
)
def test_what_arrays_do_not_do_here_is_said(function, cure):
    """What traced arrays cannot do is refused with what to write."""
    with pytest.raises(TraceError, match=re.escape(cure)):
        lift(function)(Value(2.0), np.ones((2, 2)))


def _equal(a, b):
    try:
        return bool(a == b)
    except Exception:  # noqa: BLE001
        return False


def test_results_that_are_numbers_eagerly_convert_as_numbers_do():
    """A lifted accuracy or condition is used like the eager one."""

    @lift
    def accuracy(x, y):
        return sum((a > 0) == (b > 0) for a, b in zip(x, y, strict=True)) / len(x)

    x, y = np.array([1.0, -2.0, 3.0, -1.0]), np.array([1.0, -1.0, -1.0, -1.0])
    got = accuracy(x, y)
    assert float(got) == got == 0.75
    assert f"{got:.0%}" == "75%"
    below = lift(lambda v: v.data < 1.0)
    assert not below(Value(2.0))
    assert below(Value(0.5))
    assert below(Value(0.5)) == True  # noqa: E712
