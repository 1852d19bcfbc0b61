"""Operations of a program's own, written as in micrograd's lecture and as in microgpt."""

import contextlib
import copy
import math
import pickle
import random

import pytest

from liftgrad import Value, grad, lift, recording
from liftgrad.engine import Value as EngineValue
from liftgrad.record.values import Recorded

modes = pytest.mark.parametrize("mode", [contextlib.nullcontext, recording])


def sin(x):
    """As the lecture adds an operation."""
    out = Value(math.sin(x.data), (x,), "sin")

    def _backward():
        x.grad += math.cos(x.data) * out.grad

    out._backward = _backward
    return out


def product(a, b):
    """With two operands, which may be the same."""
    out = Value(a.data * b.data, (a, b), "*")

    def _backward():
        a.grad += b.data * out.grad
        b.grad += a.data * out.grad

    out._backward = _backward
    return out


def safe_log(p):
    """As microgpt's kin add one: with the derivatives by the operands."""
    q = max(p.data, 1e-10)
    return Value(math.log(q), (p,), (1.0 / q,))


def topological(root):
    """The operands before what was made of them, as the lecture sorts them."""
    topo, visited = [], set()

    def build(v):
        if v not in visited:
            visited.add(v)
            for child in v._prev:
                build(child)
            topo.append(v)

    build(root)
    return topo


@modes
def test_an_operation_with_a_backward_of_its_own(mode):
    """Among our own operations, used twice, and on inner values."""
    with mode():
        x = Value(0.5)
        y = sin(x * 2.0)
        z = product(y, y) + sin(y) * x
        z.backward()
        s, c = math.sin(1.0), math.cos(1.0)
        assert z.data == pytest.approx(s * s + math.sin(s) * 0.5)
        assert y.grad == pytest.approx(2 * s + math.cos(s) * 0.5)
        assert x.grad == pytest.approx(2 * c * (2 * s + math.cos(s) * 0.5) + math.sin(s))
        assert y._op == "sin"
        x.grad = 0.0
        z.backward()
        assert y.grad == pytest.approx(2 * s + math.cos(s) * 0.5)


@modes
def test_an_operation_with_derivatives_of_its_own(mode):
    """microgpt's third argument: one number for each operand."""
    with mode():
        p, q = Value(0.5), Value(3.0)
        y = safe_log(p * 1.0) * q + Value(p.data * q.data, [p, q], [q.data, p.data])
        y.backward()
        assert (p.grad, q.grad) == (2.0 * 3.0 + 3.0, pytest.approx(math.log(0.5) + 0.5))
        assert y._prev[1]._op == ""


def own_sum(a, b):
    """As the lecture writes +."""
    out = Value(a.data + b.data, (a, b), "+")

    def _backward():
        a.grad += out.grad
        b.grad += out.grad

    out._backward = _backward
    return out


def product_by_derivatives(a, b):
    """As microgpt writes *."""
    return Value(a.data * b.data, (a, b), (b.data, a.data))


OPERATIONS = [
    (sin, lambda a, _: a.sin()),
    (own_sum, lambda a, b: a + b),
    (product, lambda a, b: a * b),
    (product_by_derivatives, lambda a, b: a * b),
    (lambda a, b: (a - b).tanh(), lambda a, b: (a - b).tanh()),
]


def grown(seed, which):
    """Grow a graph by random operations, of the program's own (0) or of ours (1)."""
    choose = random.Random(seed)
    leaves = [Value(choose.uniform(-1, 1)) for _ in range(3)]
    values = list(leaves)
    for _ in range(choose.randrange(1, 25)):
        operation = choose.choice(OPERATIONS)[which]
        a, b = choose.choice(values[-6:]), choose.choice(values)
        values.append(operation(a) if operation is sin else operation(a, b))
    root = values[-1] * 1.0
    root.backward()
    return [root.data, *[v.grad for v in values]]


@modes
def test_graphs_that_mix_all_kinds_have_the_gradients_of_ours(mode):
    """In any order, with operands used twice, for leaves and inner values."""
    for seed in range(200):
        with mode():
            mixed = grown(seed, 0)
        assert mixed == pytest.approx(grown(seed, 1), rel=1e-10, abs=1e-12)


def test_derivatives_are_as_many_as_operands():
    """Else a sentence says how they are given; microgpt's leaf has none of both."""
    with pytest.raises(TypeError, match="2 operands with 1 derivatives; give one for each"):
        Value(1.0, (Value(1.0), Value(2.0)), (1.0,))
    with pytest.raises(TypeError, match="a Value is made of Values, and this one of a float as"):
        Value(2.0, (Value(1.0), 2.0), "*")
    with pytest.raises(TypeError, match="is a Value already"):
        Value(1.0, (Value(1.0),), (Value(2.0),))
    leaf = Value(1.0, (), ())
    leaf.backward()
    assert leaf.grad == 1.0


@modes
def test_steps_by_hand(mode):
    """The lecture's neuron: o._backward(), n._backward(), ..., and the loop over all of them."""
    with mode():
        x1, x2 = Value(2.0, label="x1"), Value(0.0, label="x2")
        w1, w2 = Value(-3.0, label="w1"), Value(1.0, label="w2")
        b = Value(6.8813735870195432, label="b")
        x1w1, x2w2 = x1 * w1, x2 * w2
        both = x1w1 + x2w2
        n = both + b
        o = n.tanh()
        o.grad = 1.0
        for v in (o, n, b, both, x2w2, x1w1, x1):
            v._backward()
        found = [v.grad for v in (x1, w1, x2, w2)]
        assert found == pytest.approx([-1.5, 1.0, 0.5, 0.0])
        for v in (o, n, b, both, x2w2, x1w1, x1, x2, w1, w2):
            v.grad = 0.0
        o.grad = 1.0
        for node in reversed(topological(o)):
            node._backward()
        assert [v.grad for v in (x1, w1, x2, w2)] == found


def test_steps_by_hand_through_a_lifted_function():
    """Its result's graph has one node, the call, and leads to the parameters."""
    w, x = Value(2.0), Value(3.0)
    y = lift(lambda w, x: w * w * x)(w, x) * 2
    y.grad = 1.0
    for node in reversed(topological(y)):
        node._backward()
    assert (w.grad, x.grad) == (24.0, 8.0)


def test_a_backward_may_be_wrapped():
    """What it was before can still be called, so that gradients can be looked at or cut."""
    x = Value(3.0)
    y = x * 2.0
    original, seen = y._backward, []

    def halved():
        seen.append(y.grad)
        y.grad *= 0.5
        original()

    y._backward = halved
    (y * 5.0).backward()
    assert (seen, x.grad) == ([5.0], 5.0)


def test_what_has_nothing_to_pass_on_gets_no_backward():
    """Neither a leaf nor a result whose derivative is a compiled one: a sentence says so."""
    with pytest.raises(TypeError, match="without operands has nothing to pass its gradient on to"):
        Value(1.0)._backward = lambda: None
    with recording():
        recorded = Value(1.0) * 2.0
    for result in (recorded, lift(lambda w: w * w)(Value(2.0))):
        with pytest.raises(TypeError, match="has a derivative already; make a Value of your own"):
            result._backward = lambda: None


@pytest.mark.parametrize("operation", [sin, safe_log, lambda x: Value(x.data, (x,))])
def test_grad_refuses_them(operation):
    """They would be constants to it, and the derivative wrong."""
    with pytest.raises(TypeError, match=r"takes Values, and grad\(\) and its like pass something"):
        grad(operation)(0.5)
    with recording(), pytest.raises(TypeError, match=r"takes Values, and grad\(\)"):
        grad(operation)(Value(0.5) * 1.0)


@pytest.mark.parametrize("operation", [sin, safe_log])
def test_second_derivatives_are_refused(operation):
    """Its derivative is a number, whose own derivative nobody knows."""
    with pytest.raises(TypeError, match="second derivatives go through an operation of your own"):
        operation(Value(0.5)).backward(create_graph=True)


def test_copies():
    """Derivatives are copied and pickled; a function that means other Values is not."""
    y = safe_log(Value(0.5)) * 3.0
    for twin in (copy.deepcopy(y), pickle.loads(pickle.dumps(y)), copy.copy(y)):
        twin.backward()
        assert twin._prev[0]._prev[0].grad in (6.0, 12.0)
    assert y._prev[0]._prev[0].grad == 6.0
    y = sin(Value(0.5))
    for copied in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be copied, since that function adds to"):
            copied(y)
    with pytest.raises(pickle.PicklingError, match="cannot be pickled"):
        pickle.dumps(y)


def cube(self):
    """A method that a program adds to Value."""
    return self * self * self


def tanh(self):
    """The lecture's own, in the place of ours."""
    t = (math.exp(2 * self.data) - 1) / (math.exp(2 * self.data) + 1)
    out = Value(t, (self,), "mine")

    def _backward():
        self.grad += (1 - t**2) * out.grad

    out._backward = _backward
    return out


@modes
def test_methods_that_a_program_adds(mode, monkeypatch):
    """New ones, and ones in the place of ours, also on results; and ours again afterwards."""
    monkeypatch.setattr(EngineValue, "cube", cube, raising=False)
    with monkeypatch.context() as patch, mode():
        patch.setattr(EngineValue, "tanh", tanh)
    with monkeypatch.context() as patch:
        patch.setattr(EngineValue, "tanh", tanh)
        with mode():
            x = Value(0.5)
            y = (x.cube() * 2.0).tanh()
            assert y._op == "mine"
            (y * 3.0).backward()
            assert x.grad == pytest.approx(3 * (1 - math.tanh(0.25) ** 2) * 6 * 0.25)
    with mode():
        y = (Value(0.5) * 1.0).tanh()
        assert y._op == "tanh"
        assert isinstance(y, Recorded) == (mode is recording)


@modes
def test_methods_of_a_subclass(mode):
    """They are its own; results are plain Values, as in micrograd."""

    class Weight(Value):
        def squared(self):
            return self * self

    with mode():
        w = Weight(3.0)
        y = w.squared() * 2.0
        y.backward()
        assert (y.data, w.grad) == (18.0, 12.0)
        assert not isinstance(y, Weight)
