"""The engine: what a Value is, what its operators take, what backward leaves behind."""

import ast
import copy
import gc
import inspect
import io
import math
import operator
import pickle
import random
import subprocess
import sys
import threading
import weakref
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from liftgrad import Value, ops
from liftgrad import functional as F  # noqa: N812
from liftgrad.nn import MLP

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
NUMBERS = [
    *(2, 2.0, True, Fraction(1, 2), np.float64(2), np.float32(2), np.int8(2), np.uint64(2)),
    *(np.True_, np.array(2.0), np.array(2), np.float16(2)),
]
NO_NUMBERS = [
    *("2", b"2", None, [1.0], (1.0,), {}, object(), Decimal(2), 1j, np.complex128(1j)),
    *(np.zeros(2), np.zeros((1, 1)), np.array("2"), np.array(1j), np.array(None), np.str_("2")),
]


def chain(length: int) -> tuple[Value, Value]:
    x = Value(1.0)
    result = x
    for _ in range(length):
        result = result + x
    return x, result


# --- construction ----------------------------------------------------------------------------


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_a_value_is_made_of_any_number(number):
    """Python's and NumPy's real numbers and 0-d arrays become a Python float."""
    value = Value(number)
    assert type(value.data) is float
    assert value.data == float(number)


@pytest.mark.parametrize("thing", NO_NUMBERS, ids=lambda x: type(x).__name__)
def test_anything_else_is_refused_in_one_sentence(thing):
    """Arrays, text, complex numbers and the rest: a TypeError that says what to do instead."""
    with pytest.raises(TypeError, match=r"^a Value is [^\n]*; [^\n]*\.$"):
        Value(thing)


def test_a_value_of_a_value_is_refused():
    """Wrapping twice is a mistake, and the message says to leave it."""
    with pytest.raises(TypeError, match="is a Value already; use it as it is"):
        Value(Value(1.0))


def test_an_integer_beyond_float64_is_refused():
    """Where float() overflows, the sentence names the way out."""
    with pytest.raises(TypeError, match="beyond the range of float64"):
        Value(10**400)


def test_a_label_names_a_value():
    """`label` is kept and takes no part in anything else."""
    assert Value(1.0, label="x").label == "x"
    assert Value(1.0).label == ""


def test_repr_is_micrograds():
    """repr shows data and grad, and a format code applies to the number."""
    assert repr(Value(2)) == "Value(data=2.0, grad=0.0)"
    assert f"{Value(2.0):.2f}" == "2.00"
    assert f"{Value(2.0)}" == "Value(data=2.0, grad=0.0)"


@pytest.mark.parametrize(
    "lossy",
    [
        *(float, int, math.exp, math.sqrt, math.isnan, math.floor, complex),
        *(lambda v: math.hypot(1.0, v), lambda v: math.fsum([v]), lambda v: "%f" % v),  # noqa: UP031
        *(np.float64, lambda v: np.array([v, v], float), lambda v: np.asarray([[v]], np.float32)),
    ],
)
def test_what_would_lose_the_gradient_is_refused(lossy):
    """float() and all that asks for it: the sentence names .data and the method, as in v.exp()."""
    with pytest.raises(TypeError, match=r"\.data for the number, or the method, as in v"):
        lossy(Value(0.5))


def test_integers_are_not_made_of_values_either():
    """Where Python asks for an index, or rounds, it finds none."""
    for lossy in (lambda v: "%d" % v, range, [1].__getitem__, round):  # noqa: UP031
        with pytest.raises(TypeError):
            lossy(Value(0.0))


def test_arrays_of_values_stay_values():
    """NumPy makes no floats of them, and computes with them as they are."""
    w = np.array([Value(1.0), Value(2.0)])
    assert w.dtype == object
    np.dot(w * 3, w + 1).backward()
    assert [v.grad for v in w] == [9.0, 15.0]


def test_a_value_is_true():
    """That of zero as well, as micrograd's: `if self.b:` asks whether there is a bias."""
    assert Value(0.1)
    assert Value(0.0)
    assert Value(1.0) * 0.0


# --- operators -------------------------------------------------------------------------------


@pytest.mark.parametrize("apply", ARITHMETIC)
@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_operators_take_a_number_on_either_side(apply, number):
    """value ∘ number and number ∘ value are Values with the number that floats give."""
    for result, expected in [
        (apply(Value(3.0), number), apply(3.0, float(number))),
        (apply(number, Value(3.0)), apply(float(number), 3.0)),
    ]:
        assert type(result) is Value
        assert result.data == expected


@pytest.mark.parametrize("apply", ARITHMETIC)
@pytest.mark.parametrize("thing", NO_NUMBERS, ids=lambda x: type(x).__name__)
def test_operators_refuse_anything_else_on_either_side(apply, thing):
    """An array or text beside a Value never makes an array of objects or a Value of text."""
    for operands in [(Value(3.0), thing), (thing, Value(3.0))]:
        with pytest.raises(TypeError, match=r"^a Value is [^\n]*; [^\n]*\.$"):
            apply(*operands)


def test_unary_operators():
    """-, + and abs() work, and their gradients are theirs."""
    x = Value(-3.0)
    assert ((-x).data, (+x).data, abs(x).data) == (3.0, -3.0, 3.0)
    (abs(x) + -x).backward()
    assert x.grad == -2.0


def test_powers_of_every_kind():
    """v**number, number**v and v**w, with the derivative by base and by exponent."""
    v, w = Value(2.0), Value(3.0)
    (v**w).backward()
    assert (v.grad, w.grad) == (12.0, pytest.approx(8.0 * math.log(2.0)))
    x = Value(3.0)
    (2**x).backward()
    assert x.grad == pytest.approx(8.0 * math.log(2.0))
    x = Value(-2.0)
    (x**2).backward()
    assert x.grad == -4.0


def test_order_looks_at_the_data():
    """Values compare with Values and numbers on either side; NumPy's numbers too."""
    a, b = Value(1.0), Value(2.0)
    assert a < b <= b < 3.0 <= np.float64(3.0)
    assert b > a >= a > np.float64(0.5)
    assert 1 < b  # noqa: SIM300, the number on the left
    assert np.float64(1.0) < b
    with pytest.raises(TypeError):
        _ = a < "2"


def test_equality_with_a_number_looks_at_the_data():
    """On either side, and for every kind of number."""
    a = Value(1.0)
    for one in (1, 1.0, True, Fraction(1), np.float64(1.0), np.int8(1), np.array(1.0)):
        assert a == one
        assert one == a
        assert (a != one) is False
    assert a != 2.0
    assert Value(0.0) == -0.0
    assert a != 10**400
    assert Value(math.nan) != np.float64(math.nan)
    assert a != "1.0"
    assert a != None  # noqa: E711
    assert a != [1.0]


def test_equality_of_values_is_identity():
    """As in micrograd: `in`, index, remove, count and sets find the very same Value."""
    a, b, c = Value(0.0), Value(0.0), Value(0.0) * 1.0
    assert a == a
    assert a != b
    assert a != c != c * 1.0
    assert a not in [b, c]
    assert [b, a, c].index(a) == 1
    values = [b, a, c]
    values.remove(c)
    assert values[0] is b
    assert values[1] is a
    assert [a, b, a].count(a) == 2
    assert (a, [b]) == (a, [b])
    assert {a: 1, b: 2}[b] == 2
    assert 0.0 in [a, b]


def test_equality_with_an_array_is_that_with_its_elements():
    """So that `in` finds a Value in an array of objects, and a number in one of numbers."""
    a, b = Value(1.0), Value(1.0)
    pair = np.array([[b, a]])
    assert (pair == a).tolist() == (a == pair).tolist() == [[False, True]]
    assert (pair != a).tolist() == (a != pair).tolist() == [[True, False]]
    assert a in pair
    assert a not in np.array([b])
    assert a in np.array([1.0, 2.0])
    assert a not in np.array(["1.0"])


def test_a_layer_is_frozen_without_the_others():
    """The idiom with `in`: biases of other layers start at 0, too, and are trained."""
    model = MLP(2, [16, 2, 1])
    frozen = model.layers[0].parameters()
    trainable = [p for p in model.parameters() if p not in frozen]
    assert len(trainable) == len(model.parameters()) - len(frozen)


def test_values_are_told_apart_by_identity_in_sets():
    """Equal Values are different keys: graph tools collect them in sets."""
    assert len({Value(1.0), Value(1.0)}) == 2


def test_sum_of_values():
    """Python's sum() works, as micrograd's demo uses it."""
    values = [Value(1.0), Value(2.0)]
    total = sum(values)
    total.backward()
    assert total.data == 3.0
    assert [v.grad for v in values] == [1.0, 1.0]


def test_arithmetic_never_raises():
    """Where Python's floats raise, Values give IEEE's infinities and nan."""
    zero = Value(0.0)
    assert (1.0 / zero).data == math.inf
    assert (zero**-1).data == math.inf
    assert math.isnan((zero / zero).data)
    assert (Value(1e200) ** 2).data == math.inf
    assert math.isnan((Value(-1.0) ** 0.5).data)


def test_methods_are_the_functions():
    """Every function of one or two numbers is a method of the same name with a docstring."""
    x = Value(0.7)
    for name, operation in ops.OPERATIONS.items():
        if operation.arity is not None:
            others = [0.4] * (operation.arity - 1)
            assert getattr(x, name)(*others).data == operation(x, *others).data
            assert getattr(Value, name).__doc__.startswith("Return ")


def test_type_checkers_know_the_methods():
    """Those of the table, which are made when liftgrad is imported, and no others."""
    tree = ast.parse(inspect.getsource(F))
    (known,) = [x for x in ast.walk(tree) if isinstance(x, ast.ClassDef) and x.name == "Methods"]
    names = [x.name for x in known.body if isinstance(x, ast.FunctionDef)]
    names += [t.id for x in known.body if isinstance(x, ast.Assign) for t in x.targets]
    table = [name for name, x in ops.OPERATIONS.items() if x.arity is not None]
    assert sorted(names) == sorted([*table, "leaky_relu", "elu", "gelu", "silu"])


# --- backward --------------------------------------------------------------------------------


def test_a_second_backward_on_one_graph_is_right():
    """Leaves accumulate, inner values do not: x**3 at 3 gives 27 twice, not 27 and 45."""
    x = Value(3.0)
    square = x * x
    cube = square * x
    cube.backward()
    assert (x.grad, square.grad) == (27.0, 3.0)
    x.grad = 0.0
    cube.backward()
    assert (x.grad, square.grad) == (27.0, 3.0)
    cube.backward()
    assert (x.grad, square.grad) == (54.0, 3.0)


def test_gradients_of_leaves_accumulate_over_graphs():
    """Two losses of one parameter add up until the gradient is set to zero."""
    x = Value(2.0)
    (x * 3.0).backward()
    (x * x).backward()
    assert x.grad == 7.0


def test_a_value_used_twice_hears_from_both_before_it_passes_on():
    """In b = a + a; c = b + b the gradient of a is 4, whatever the order of visits."""
    a = Value(1.0)
    b = a + a
    c = b + b
    c.backward()
    assert (a.grad, b.grad) == (4.0, 2.0)


def test_backward_on_a_leaf_is_one():
    """A number's derivative by itself is one, and leaves accumulate."""
    x = Value(5.0)
    x.backward()
    x.backward()
    assert x.grad == 2.0


def test_what_does_not_lead_to_the_result_keeps_its_gradient():
    """Values beside the graph are not touched."""
    x, y = Value(2.0), Value(3.0)
    beside = x * y
    beside.grad = 7.0
    (x + 1.0).backward()
    assert (beside.grad, y.grad) == (7.0, 0.0)


def test_create_graph_makes_gradients_values():
    """Gradients of gradients: x**4 has derivatives 4x³, 12x², 24x, 24."""
    x = Value(2.0)
    y = x**4
    for expected in (32.0, 48.0, 48.0, 24.0):
        x.grad = 0.0
        y.backward(create_graph=True)
        y = x.grad
        assert isinstance(y, Value)
        assert y.data == expected


@pytest.mark.parametrize(
    "function", [lambda x: x, lambda x: x**0, lambda x: x.relu(), lambda x: x + 1]
)
def test_create_graph_makes_every_gradient_a_value(function):
    """Also where a rule gives a constant, and on a leaf."""
    x = Value(-1.0)
    y = function(x)
    y.backward(create_graph=True)
    assert isinstance(x.grad, Value)
    assert isinstance(y.grad, Value)


@pytest.mark.parametrize("operation", [ops.maximum, ops.minimum])
def test_a_tie_is_one_between_numbers(operation):
    """Its gradient is one half each where gradients are Values, too, whose == is identity."""
    a, b = Value(2.0), Value(2.0)
    operation(a, b).backward(create_graph=True)
    assert (a.grad.data, b.grad.data) == (0.5, 0.5)


@pytest.mark.parametrize("operation", [ops.largest, ops.detach])
def test_constants_pass_no_gradient_at_all(operation):
    """Not even a zero, of which log's infinite derivative at 0 would make nan."""
    x = Value(0.0)
    y = operation(x.log()) + x
    assert y._prev[0]._prev == ()
    y.backward()
    assert x.grad == 1.0


def test_a_hand_made_value_without_a_rule_is_refused():
    """micrograd's Value(data, children, op) is there for drawings, and cannot be differentiated."""
    x = Value(1.0)
    drawn = Value(2.0, (x,), "mystery")
    assert (drawn._prev, drawn._op) == ((x,), "mystery")
    with pytest.raises(TypeError, match="'mystery' has no derivative rule; make it"):
        drawn.backward()


def test_graph_tools_for_micrograd_find_prev_and_op():
    """The trace() of micrograd's drawing notebook collects nodes and edges."""
    a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    root = ((a * b) + a).relu() ** 2

    nodes, edges = set(), set()

    def build(v):
        if v not in nodes:
            nodes.add(v)
            for child in v._prev:
                edges.add((child, v))
                build(child)

    build(root)
    assert sorted(v._op for v in nodes) == ["", "", "*", "**2", "+", "ReLU"]
    assert len(edges) == 6


# --- size and memory -------------------------------------------------------------------------


@pytest.mark.thorough
def test_a_chain_of_a_million_operations():
    """Forward, backward and freeing need no recursion."""
    x, result = chain(1_000_000)
    result.backward()
    assert (result.data, x.grad) == (1_000_001.0, 1_000_001.0)
    del result


def test_a_long_chain_is_pickled_and_copied():
    """So do pickle and deepcopy, twenty times deeper than Python's recursion allows."""
    x, result = chain(20_000)
    result.backward()
    for twin in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
        assert twin is not result
        twin._prev[1].grad = 0.0
        twin.backward()
        assert (twin.data, twin._prev[1].grad) == (result.data, x.grad)


def test_a_graph_is_freed_with_its_last_name():
    """No reference cycles: without the garbage collector, a graph goes when its name goes."""
    gc.disable()
    try:
        model = MLP(2, [3, 1])
        loss = (model([1.0, 2.0]) - 1.0) ** 2 + F.softmax([model([0.0, 1.0]), 1.0])[0]
        loss.backward()
        traces = [weakref.ref(loss), *map(weakref.ref, loss._prev)]
        del loss
        assert [trace() for trace in traces] == [None] * len(traces)
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.thorough
def test_freeing_a_deep_graph_in_a_small_thread_is_safe():
    """The interpreter unwinds a million operations on a thread's small stack."""
    held = [chain(1_000_000)[1]]
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    assert held == []


# --- copies and pickles ----------------------------------------------------------------------


def pickled(x):
    return pickle.loads(pickle.dumps(x))


def pickled_by_python(x):
    stream = io.BytesIO()
    pickle._Pickler(stream, 2).dump(x)
    return pickle.loads(stream.getvalue())


duplicates = pytest.mark.parametrize("duplicate", [pickled, pickled_by_python, copy.deepcopy])


@duplicates
def test_a_duplicate_has_everything(duplicate):
    """Number, gradient, label, operation and operands survive, and derivatives go on."""
    x = Value(2.0, label="x")
    y = x.tanh() ** 2.5
    y.label = "y"
    y.backward()
    twin = duplicate(y)
    assert (twin.data, twin.grad, twin.label, twin._op) == (y.data, 1.0, "y", "**2.5")
    twin_x = twin._prev[0]._prev[0]
    assert (twin_x.label, twin_x.grad) == ("x", x.grad)
    twin.backward()
    assert twin_x.grad == 2 * x.grad


@duplicates
def test_values_duplicated_together_stay_connected(duplicate):
    """A model, a loss of it, and an inner value of that loss keep their identities."""
    random.seed(1)
    model = MLP(2, [2, 1])
    hidden = model([1.0, 2.0])
    loss = hidden * hidden
    model, hidden, loss, again = duplicate((model, hidden, loss, loss))
    assert again is loss
    assert loss._prev == (hidden, hidden)
    assert loss._prev[0] is hidden
    loss.backward()
    assert any(p.grad for p in model.parameters())


@duplicates
def test_gradients_that_are_values_are_duplicated_too(duplicate):
    """After create_graph, gradients and graph refer to each other in a circle."""
    x = Value(3.0)
    y = x
    for _ in range(500):
        y = F.sin(y * 1.01)
    y.backward(create_graph=True)
    second = x.grad
    twin = duplicate(y)
    twin_x = twin
    while twin_x._prev:
        twin_x = twin_x._prev[0]
    assert twin_x.grad.data == second.data
    expected = []
    for leaf in (x, twin_x):
        gradient = leaf.grad
        leaf.grad = 0.0
        gradient.backward()
        expected.append(leaf.grad)
    assert expected[0] == expected[1] != 0.0


@duplicates
def test_attributes_that_a_program_sets(duplicate):
    """An optimiser's moments, marks of graph tools: on leaves and results, and duplicates."""
    x = Value(2.0)
    y = x * 3.0
    x.m, x.requires_grad, y._vis_color = 0.5, False, "red"
    x.m += 1.0
    twin = duplicate(y)
    twin_x = twin._prev[0]
    assert (twin_x.m, twin_x.requires_grad, twin._vis_color) == (1.5, False, "red")
    del x.m
    assert not hasattr(x, "m")
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = y.nothing


class Weight(Value):
    """A subclass with a slot and a dictionary of its own."""

    def __init__(self, data, owner):
        super().__init__(data, label=f"of {owner}")
        self.owner = owner


class Slotted(Value):
    """A subclass with another slot."""

    __slots__ = ("extra",)


@duplicates
def test_subclasses_keep_their_class_and_attributes(duplicate):
    """What a subclass adds, in a dictionary or in slots, is kept."""
    weight, slotted = Weight(2.0, owner="me"), Slotted(3.0)
    slotted.extra = [1]
    product = duplicate(weight * slotted)
    weight_twin, slotted_twin = product._prev
    assert (type(weight_twin), weight_twin.owner, weight_twin.label) == (Weight, "me", "of me")
    assert (type(slotted_twin), slotted_twin.extra) == (Slotted, [1])


def test_a_shallow_copy_has_the_same_operands():
    """copy.copy gives a new value made of the very same operands."""
    x = Value(2.0)
    y = x * 3.0
    twin = copy.copy(y)
    assert twin is not y
    assert twin._prev[0] is x
    twin.backward()
    assert (x.grad, y.grad) == (3.0, 0.0)


def test_a_pickle_that_fails_leaves_no_trace():
    """After an error halfway, the next pickle is whole."""

    class Local(Value):
        """Cannot be pickled: its class has no importable name."""

    x = Value(2.0)
    y = x * Local(3.0)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(y)
    twin = pickled(x * 2.0)
    assert (twin.data, twin._prev[0].data) == (4.0, 2.0)


# --- subclasses and neighbours ---------------------------------------------------------------


def test_subclasses_take_part_in_arithmetic():
    """Operands may be of subclasses; results are plain Values and gradients arrive."""
    weight = Weight(2.0, owner="me")
    result = weight * 3.0 + weight
    result.backward()
    assert type(result) is Value
    assert weight.grad == 4.0


@pytest.mark.process
def test_importing_liftgrad_is_light():
    """`import liftgrad` loads neither matplotlib nor the compiler."""
    program = "import sys, liftgrad; print({'matplotlib', 'llvmlite'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"
