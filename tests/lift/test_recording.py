"""Recording mode gives what the eager engine gives, for programs that nobody decorated."""

import copy
import gc
import itertools
import math
import pickle
import random
import sys
import threading
import tracemalloc
import weakref

import numpy as np
import pytest
from agreement import Outcome, backward, compare, eager_outcome, move, run_eagerly, weights_of
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Program, programs

import liftgrad
import test_micrograd_world as world
from liftgrad import Value, functional, lift, nn, ops, optim, recording
from liftgrad.errors import LiftError
from liftgrad.lift.machine import machine as machine_module
from liftgrad.lift.machine.machine import NativeMachine, PythonMachine
from liftgrad.numbers import plain
from liftgrad.record import recording as recording_module
from liftgrad.record.values import Recorded, current


@pytest.fixture(params=["native", "python"])
def machine(request, monkeypatch):
    """Run the test on each of the two machines."""
    if request.param == "python":
        monkeypatch.setattr(recording_module, "machine", PythonMachine)
    else:
        assert isinstance(machine_module.machine(), NativeMachine)
    return request.param


def recorded_outcome(program: Program) -> Outcome:
    with recording():
        results, scalars, parameters = run_eagerly(program, Value)
        numbers = [plain(x) for x in results]
        move(program, parameters)
        backward(scalars, weights_of(program, len(scalars)))
        return Outcome(numbers, [p.grad for p in parameters])


@given(programs(statements=4))
@settings(max_examples=150)
def test_random_programs_agree_with_eager(program):
    """Results and gradients, within the rounding that a program's own terms allow."""
    compare(program, eager_outcome(program), {"recording": recorded_outcome(program)})


@given(programs(statements=2, largest=30, samples=5))
@settings(max_examples=40)
def test_random_programs_agree_without_llvm(program):
    """The machine in Python computes the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording_module, "machine", PythonMachine)
        compare(program, eager_outcome(program), {"python": recorded_outcome(program)})


def smooth(x):
    return [x.exp(), x.tanh(), x.sin() * x, x**2, x**-1.7, (x + 3.0).log(), 2.0**x, abs(x)]


class Story:
    """Random steps on a pool of Values: equal seeds and equal numbers give equal steps."""

    def __init__(self, start, seed):
        self.draw = random.Random(seed)
        self.leaves = [Value(x) for x in start]
        self.pool = list(self.leaves)
        self.seen = []

    def run(self):
        """Return all numbers that were read, and the final ones."""
        steps = [
            *(self._function, self._branch, self._sequence, self._change_a_leaf, self._softmax),
            *(self._shift, self._differentiate, self._differentiate_again, self._look),
        ]
        for _ in range(25):
            made = self.draw.choice(steps)(self.draw.choice(self.pool), self.draw.choice(self.pool))
            self.pool += [made] if made is not None else []
        self.pool[-1].backward()
        return self.seen + [x.data for x in self.pool] + [x.grad for x in self.pool]

    def _function(self, a, _b):
        return self.draw.choice(smooth(a + 0.1)).tanh() if abs(a) < 2.0 else None

    def _branch(self, a, b):
        return a * b if a.data > b.data else a - b

    def _sequence(self, a, b):
        return functional.dot([a, b, 0.5], [b, 1.5, a], self.draw.choice([a, 0.25]))

    def _change_a_leaf(self, a, _b):
        leaf = self.draw.choice(self.leaves)
        leaf.data -= 0.1 * self.draw.random()
        return leaf * a

    def _softmax(self, a, b):
        return functional.softmax([a, b, *self.pool[-3:]])[0]

    def _shift(self, a, b):
        return (sum([a, b, a]) - max(x.data for x in self.pool)).tanh()

    def _differentiate(self, a, b):
        (a * b + 1).backward()

    def _differentiate_again(self, a, b):
        a.backward()
        self.seen += [a.grad, b.grad]

    def _look(self, a, _b):
        self.seen.append(a.data)


@given(
    start=st.lists(st.floats(-2.0, 2.0), min_size=3, max_size=3),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=100)
def test_branches_on_data_and_changes_between(start, seed):
    """Steps that branch on numbers, set leaves half-way, reuse old results, differentiate often."""
    expected = Story(start, seed).run()
    with recording():
        found = Story(start, seed).run()
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-11, nan_ok=True)


OPERANDS = [
    *(0.5, -1.5, 0.0, -0.0, 2.0, 30.0, 800.0, -800.0),
    *(math.inf, -math.inf, math.nan, 1e300, 1e-300),
]
EXPONENTS = [0, 1, 2, 3, -1, -2, 0.5, -0.5, 2.5, -1.5]


def same(a, b):
    return (
        (a != a and b != b)
        or (a == b and math.copysign(1.0, a) == math.copysign(1.0, b))
        or a == pytest.approx(b, rel=1e-14, abs=3e-16)
    )


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("operation", ops.OPERATIONS.values(), ids=lambda o: o.name)
def test_every_operation_and_its_derivative(operation):
    """At ordinary and at special operands, in machine code and in Python."""
    arity = operation.arity or 3
    for special in itertools.product(OPERANDS, repeat=min(arity, 2)):
        operands = [*special, 0.75][:arity]
        outcomes = []
        for mode in (False, True):
            values = [Value(x) for x in operands]
            if mode:
                with recording():
                    y = operation(*values)
                    y.backward()
                    assert isinstance(y, Recorded)
            else:
                y = operation(*values)
                y.backward()
            outcomes.append([y.data, y.grad, *[v.grad for v in values]])
        assert all(map(same, *outcomes)), (operation.name, operands, outcomes)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("exponent", EXPONENTS)
def test_powers(exponent):
    """With the exponents that have a code of their own, and with others."""
    for x in OPERANDS:
        outcomes = []
        for mode in (False, True):
            v = Value(x)
            with recording() if mode else memoryview(b""):
                y = v**exponent
                y.backward()
            outcomes.append([y.data, v.grad])
        assert all(map(same, *outcomes)), (x, outcomes)


def test_operations_of_the_users_own():
    """An operation that is in no table runs eagerly, between others that are recorded."""
    cube = ops.Operation("cube", lambda a: a**3, lambda g, y, a: (g * 3 * a * a,), "{0}³", "³")
    outcomes = []
    for mode in (False, True):
        x = Value(2.0)
        with recording() if mode else memoryview(b""):
            h = x * 3
            y = cube(h) * x + h
            y.backward()
            z = y * h  # on the next recording
            z.backward()
        outcomes.append((z.data, x.grad, h.grad))
    assert outcomes[0] == outcomes[1]


def test_leaves_that_are_set_between_count_with_the_number_they_had():
    """Nothing is computed yet when the leaf is set, and still both results are eager's."""
    x = Value(2.0)
    with recording():
        results = []
        for _ in range(4):
            results.append(x * x)
            x.data += 1.0
        assert [y.data for y in results] == [4.0, 9.0, 16.0, 25.0]


def test_gradients_accumulate_in_leaves_and_are_fresh_within():
    """As in eager: `grad` of a result is that of the last `backward()`."""
    a, b = Value(2.0), Value(-3.0)
    with recording():
        h = a * b
        y = h.relu() + h * h
        y.backward()
        assert (h.grad, a.grad, b.grad, y.grad) == (-12.0, 36.0, -24.0, 1.0)
        y.backward()
        assert (h.grad, a.grad, b.grad) == (-12.0, 72.0, -48.0)
        h.backward()  # does not reach y
        assert (h.grad, a.grad, y.grad) == (1.0, 69.0, 1.0)
        h.grad = 7.0
        assert h.grad == 7.0
        z = h * 10
        z.backward()
        assert h.grad == 10.0
        assert a.grad == 69.0 - 30.0


def test_values_outlive_the_block():
    """A result may be asked for, and its graph continued, after the block."""
    x = Value(3.0)
    with recording():
        y = x * x
    assert type(x) is Value
    z = y + x * 2.0 + functional.total([x, y])
    assert z.data == 27.0
    z.backward()
    assert x.grad == 6.0 + 2.0 + 1.0 + 6.0
    assert y.data == 9.0
    assert y.grad == 2.0
    assert type(x) is Value


def test_blocks_may_be_nested_and_left_by_errors():
    """The outermost block ends the recording."""
    x = Value(1.5)
    with recording():
        a = x * 2
        with recording():
            b = a * x
        c = b + a
        assert isinstance(c, Recorded)
        with pytest.raises(ZeroDivisionError), recording():
            raise ZeroDivisionError
        assert isinstance(x * x, Recorded)
    assert type(x * x) is Value
    assert current.recording is None
    c.backward()
    assert (c.data, x.grad) == (7.5, 8.0)


def test_infinite_derivatives_off_the_path_do_not_matter():
    """Nodes on which a result does not depend get no gradient, not even nan."""
    x = Value(0.0)
    with recording():
        off = functional.log(x) * 2
        y = x * 3
        y.backward()
        assert (x.grad, off.grad) == (3.0, 0.0)


def test_graphs_may_be_walked():
    """`_prev`, `_op` and labels, as code that draws graphs uses them."""
    with recording():
        a, b = Value(2.0, label="a"), Value(-3.0, label="b")
        h = a * b
        h.label = "h"
        c = h.relu() + a + 0 + h**1.5
        nodes = {c}
        edges = []
        stack = [c]
        while stack:
            for operand in (v := stack.pop())._prev:
                edges.append((operand, v))
                if operand not in nodes:
                    nodes.add(operand)
                    stack.append(operand)
        assert sorted(n._op for n in nodes) == ["", "", "", "*", "**1.5", "+", "+", "+", "ReLU"]
        assert {n.label for n in nodes} == {"a", "b", "h", ""}
        assert len(edges) == 10
        assert repr(h) == "Value(data=-6.0, grad=0.0)"
        assert f"{h.data:.1f} {h:.1f}" == "-6.0 -6.0"


def test_equality_and_truth_are_those_of_the_engine():
    """By identity between Values, leaves or results; a node met in the graph is the result it is.

    Truth is true, order and numbers look at the data, and what loses the gradient is refused.
    """
    with recording():
        a, b = Value(0.0), Value(0.0)
        c, d = a * 1.0, b * 1.0
        assert a == a != b
        assert c == c != d
        assert c != a
        assert c == 0.0 == d
        assert 1 != c <= d < 1
        assert [a, b, c, d].index(d) == 3
        assert c not in [a, b, d]
        assert {a: 0, b: 1, c: 2, d: 3}[c] == 2
        assert (c + d)._prev == (c, d)
        assert (c + d)._prev != (d, c)
        assert a
        assert c
        for lossy in (float, int, math.exp):
            with pytest.raises(TypeError, match=r"write \.data for the number"):
                lossy(c)


def test_attributes_that_a_program_sets():
    """Adam's moments kept on leaves, and marks on results."""
    x = Value(2.0)
    x.m = 0.0
    for _ in range(2):
        with recording():
            y = x * x
            y.mark = "mine"
            y.backward()
            x.m = 0.9 * x.m + 0.1 * x.grad
            x.data -= 0.1 * x.m
            x.grad = 0.0
            assert y.mark == "mine"
    assert x.m == pytest.approx(0.9 * 0.4 + 0.1 * 2 * (2.0 - 0.04))


def test_second_derivatives():
    """`create_graph=True` walks the graph as eager does."""
    outcomes = []
    for mode in (False, True):
        x = Value(0.7)
        with recording() if mode else memoryview(b""):
            y = (x * x).exp() * x.tanh()
            y.backward(create_graph=True)
            first = x.grad
            x.grad = 0.0
            first.backward()
        outcomes.append((first.data, x.grad))
    assert outcomes[1] == pytest.approx(outcomes[0], rel=1e-13)


def test_copies_and_pickles_are_plain_values():
    """They hold the numbers, and no recording."""
    x = Value(2.0, label="x")
    with recording():
        y = x * x + x
        y.label = "y"
        made = [copy.copy(y), copy.deepcopy(y), pickle.loads(pickle.dumps(y))]
        leaf = copy.deepcopy(x)
    assert type(leaf) is Value
    assert (leaf.data, leaf.label, leaf._prev) == (2.0, "x", ())
    for copied in made:
        assert type(copied) is Value
        assert (copied.data, copied.label) == (6.0, "y")
        copied.backward()
    assert x.grad == 5.0  # by the shallow copy alone


def test_lifted_functions_and_optimisers_in_the_block():
    """Parameters may be windows of a lifted function, and lifted functions may be called."""

    def loss(model, x):
        return sum((model(row) - 1.0) ** 2 for row in x)

    def train(recorded):
        random.seed(3)
        model = nn.MLP(2, [4, 1])
        x = np.array([[0.5, -1.0], [1.0, 2.0]])
        rows = x.tolist()
        lifted = lift(loss)
        optimiser = optim.Adam(model.parameters(), lr=0.1)
        with recording() if recorded else memoryview(b""):
            losses = []
            for step in range(6):
                optimiser.zero_grad()
                y = loss(model, rows) if step % 3 else lifted(model, x)
                y.backward()
                optimiser.step()
                losses.append(y.data)
        return losses, [p.data for p in model.parameters()]

    expected, found = train(recorded=False), train(recorded=True)
    assert found[0] == pytest.approx(expected[0], rel=1e-12)
    assert found[1] == pytest.approx(expected[1], rel=1e-12)


def test_lifted_functions_of_recorded_values():
    """The gradient goes through the call into what was recorded before, and from after it."""
    outcomes = []
    for mode in (False, True):
        x, p = Value(2.0), Value(0.25)
        with recording() if mode else memoryview(b""):
            y = (x * x).tanh()
            z = lift(lambda v: v[0] * v[0] * v[1])([y, p]) * 3 + y
            z.backward()
        outcomes.append((z.data, x.grad, p.grad))
    assert outcomes[1] == pytest.approx(outcomes[0], rel=1e-12)


def test_micrograds_demo_trains_to_the_same_numbers():
    """Data loss, L2, accuracy read half-way, updates by hand: 12 steps."""

    def demo():
        random.seed(1337)
        model = nn.MLP(2, [8, 8, 1])
        points = [[random.uniform(-1, 1), random.uniform(-1, 1)] for _ in range(12)]
        labels = [1 if a * b > 0 else -1 for a, b in points]
        history = []
        for k in range(12):
            inputs = [list(map(Value, row)) for row in points]
            scores = list(map(model, inputs))
            losses = [(1 + -yi * s).relu() for yi, s in zip(labels, scores, strict=True)]
            right = [(yi > 0) == (s.data > 0) for yi, s in zip(labels, scores, strict=True)]
            total = sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(
                p * p for p in model.parameters()
            )
            model.zero_grad()
            total.backward()
            for p in model.parameters():
                p.data -= (1.0 - 0.9 * k / 100) * p.grad
            history += [total.data, sum(right)]
        return history

    expected = demo()
    with recording():
        assert demo() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "program",
    [
        *(world.test_the_demo, world.test_the_lectures_neuron, world.test_drawing_code),
        world.test_layers_that_keep_their_outputs,
        *(world.test_data_in_the_middle_of_a_forward_pass, world.test_data_is_a_constant),
    ],
)
def test_programs_of_micrograds_world_run_unchanged(program):
    """What they ask of the eager engine and of lifted functions holds within a block, too."""
    with recording():
        program()


def test_memory_does_not_grow():
    """Neither training nor predicting keeps what nothing refers to."""
    model = nn.MLP(2, [6, 1])
    dead = []

    def step():
        x = [Value(0.5), Value(-0.5)]
        dead.append(weakref.ref(x[0]))
        y = (model(x) - 1.0) ** 2
        y.backward()
        for p in model.parameters():
            p.data -= 0.01 * p.grad
            p.grad = 0.0
        return y

    gc.collect()
    gc.disable()
    try:
        with recording():
            last = [step() for _ in range(5)][-1:]
            tracemalloc.start()
            first = tracemalloc.get_traced_memory()[0]
            for _ in range(300):
                last = [step()]
            grown = tracemalloc.get_traced_memory()[0] - first
        assert grown < 100_000  # a step's graph is 20 kB
        assert sum(reference() is not None for reference in dead) <= 3
        assert last[0].data >= 0.0
    finally:
        tracemalloc.stop()
        gc.enable()


def test_memory_without_gradients_is_bounded(monkeypatch):
    """Recordings are freed although at all times some result is alive."""
    for module in ("operators", "recorder"):
        monkeypatch.setattr(f"liftgrad.record.{module}.LONG", 500)
    x, w = Value(0.5), Value(2.0)
    recordings = weakref.WeakSet()
    with recording():
        for _ in range(2000):
            y = (w * x + 1.0).tanh()
            assert y.data == math.tanh(2.0)
            recordings.add(y._recording)
            assert y._recording.done < 600
    assert len(recordings) <= 2


def test_threads_record_for_themselves():
    """Many threads share the weights and results, most of them recording; the numbers are eager's.

    Python switches between them as often as it can.
    """
    weights = [Value(0.1 * i) for i in range(8)]
    shared = [Value(1.0) * 1.0]

    def work(k):
        x = [Value(math.sin(k + i)) for i in range(8)]
        for i in range(20):
            y = sum(w * v for w, v in zip(weights, x, strict=True)).tanh()
            y = y * (k + 0.5 + i) + functional.dot(weights, x)
            shared.append(y)
            other = shared[len(shared) // 2]
            assert (other * y).data == pytest.approx(other.data * y.data, rel=1e-12)
            if i % 3 == 0:
                (y * 1e-9).backward()
        return y

    expected = [work(k).data for k in range(6)]
    found = [None] * 6

    def run(k):
        for _ in range(5):
            with memoryview(b"") if k % 3 == 2 else recording():
                y = work(k)
        found[k] = y.data

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=run, args=(k,)) for k in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert found == pytest.approx(expected, rel=1e-12)
    assert type(weights[0] * 2) is Value
    assert {type(w) for w in weights} == {Value}


def test_results_may_be_used_by_another_thread():
    """Another thread continues a recording and differentiates it."""
    with recording():
        x = Value(2.0)
        y = x * x
        found = []

        def other():
            with recording():
                z = y * 3 + x
                z.backward()
                found.append((z.data, x.grad))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert found == [(14.0, 13.0)]
        assert (y + x).data == 6.0


def test_bad_operands_are_refused_as_in_eager():
    """With the same sentence."""
    with recording():
        y = Value(1.0) * 2
        for bad in ("1", [1.0], 1j, None):
            with pytest.raises(TypeError, match="a Value is"):
                y + bad
            with pytest.raises(TypeError, match="a Value is"):
                bad * y
        assert (y + np.float64(2.0)).data == 4.0
        assert (True + y).data == 3.0
        assert math.copysign(1.0, (Value(-0.0) * 1.0 + np.float64(-0.0)).data) == -1.0


def test_a_recording_that_is_too_long_is_refused(monkeypatch):
    """When one of its numbers is asked for, by a sentence that says what to do."""
    monkeypatch.setattr(recording_module, "LIMIT", 1000)
    with recording():
        y = Value(1.0) * 1.0
        for _ in range(1100):
            y = y + y
        with pytest.raises(LiftError, match="smaller batches"):
            y.backward()


class Interrupted:
    """A machine during whose work the user presses Ctrl-C."""

    def forward(self, *_):
        """Be interrupted."""
        raise KeyboardInterrupt


def test_an_interrupted_computation_gives_no_numbers():
    """No wrong number is given, then or later, and what is recorded afterwards is right."""
    with recording():
        x = Value(2.0)
        y = x * 3
        y._recording._machine = Interrupted()
        with pytest.raises(KeyboardInterrupt):
            _ = y.data
        with pytest.raises(LiftError, match="compute them anew"):
            _ = y.data
        with pytest.raises(LiftError, match="compute them anew"):
            (y * x).backward()
        z = x * 3
        z.backward()
        assert (z.data, x.grad) == (6.0, 3.0)


def test_grad_of_functions_in_the_block():
    """The functional derivatives work on recorded values, too."""
    with recording():
        y = Value(0.5) * 2
        assert liftgrad.grad(lambda x: x**3 * 2.0)(y.data) == pytest.approx(6.0)
