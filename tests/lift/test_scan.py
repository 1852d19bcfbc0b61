"""scan, which carries a state through the steps of a loop."""

from collections import namedtuple

import numpy as np
import pytest
from both_ways import BACKENDS, gradients

from liftgrad import Value, grad, lift, scan, vmap
from liftgrad.functional import tanh, total

State = namedtuple("State", "position velocity")  # noqa: PYI024, the kind without types


def falling(state, drag):
    """Move a body for a tenth of a second."""
    v = state.velocity + 0.1 * (9.81 - drag * state.velocity)
    return State(state.position + 0.1 * v, v), {"energy": [0.5 * v * v, 9.81 * state.position]}


def test_it_is_the_loop():
    """The last state, and for each step what it gave, in lists."""
    state, ys = scan(falling, State(0.0, 1.0), [0.1, 0.2, 0.3])
    expected, energies = State(0.0, 1.0), []
    for drag in (0.1, 0.2, 0.3):
        expected, y = falling(expected, drag)
        energies.append(y["energy"])
    assert state == expected
    assert type(state) is State
    assert ys == {"energy": energies}


def test_xs_may_be_structures_of_sequences():
    """Tuples and dicts of lists and arrays; a step is given a structure of its own numbers."""
    xs = {"a": np.arange(6.0).reshape(3, 2), "b": ([1.0, 2.0, 3.0], None)}
    last, ys = scan(lambda s, x: (s + x["a"][1] * x["b"][0], x["b"]), 0.0, xs)
    assert last == 1.0 * 1.0 + 3.0 * 2.0 + 5.0 * 3.0
    assert ys == ([1.0, 2.0, 3.0], None)


def test_without_xs_the_length_says_how_many_steps():
    """The step is then given None."""
    assert scan(lambda s, x: (2.0 * s, x), 1.0, length=10) == (1024.0, None)
    assert scan(lambda s, x: (2.0 * s, x), 1.0, [5.0], length=1) == (2.0, [5.0])


def test_of_no_steps_the_state_is_the_first():
    """Then there are no results."""
    assert scan(lambda s, x: (s + x, s), 3.0, []) == (3.0, [])


WRONG = {
    "lengths that differ": (([1.0, 2.0], [3.0]), None, "lengths [2, 1]"),
    "no length": (None, None, "give it a length"),
    "another length": ([1.0, 2.0], 3, "length=3 over xs of length 2"),
    "a negative length": (None, -1, "give it 0 or more"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_lengths_are_refused(name):
    """With what to do."""
    xs, length, sentence = WRONG[name]
    with pytest.raises(ValueError, match="scan") as error:
        scan(lambda s, _: (s, s), 0.0, xs, length)
    assert sentence in str(error.value)


@pytest.mark.parametrize("length", [2.5, "three"])
def test_a_length_is_a_whole_number(length):
    """Anything else is named."""
    with pytest.raises(TypeError, match=f"length={length!r}; give it a whole number"):
        scan(lambda s, _: (s, s), 0.0, None, length)


def test_what_has_no_steps_is_refused():
    """A number, a generator."""
    with pytest.raises(TypeError, match="this is a float; keep what is the same"):
        scan(lambda s, x: (s, x), 0.0, (2.0, [1.0]))
    with pytest.raises(TypeError, match="this is a generator"):
        scan(lambda s, x: (s, x), 0.0, (x for x in [1.0]))


@pytest.mark.parametrize("lifted", [False, True])
def test_a_state_that_changes_its_structure_is_refused(lifted):
    """In the step that changes it, with the place."""
    lift_or_not = lift if lifted else lambda f: f

    def step(state, x):
        return {"h": [*state["h"], x]}, x

    with pytest.raises(
        ValueError, match=r"state\['h'\] is a list of length 1 before step 0 and a list of length 2"
    ):
        lift_or_not(lambda x: scan(step, {"h": [x]}, [1.0, 2.0])[1])(Value(1.0))
    with pytest.raises(ValueError, match=r"state is a float before step 0 and a tuple of length 2"):
        lift_or_not(lambda x: scan(lambda s, x: ((s, x), x), 1.0, [x, x])[1])(Value(1.0))


def test_results_that_change_their_structure_are_refused():
    """They could not be stacked."""
    with pytest.raises(ValueError, match="y is a float in step 0 and None in step 1"):
        scan(lambda s, _: (s + 1, None if s else 2.0), 0, length=3)


def test_a_step_returns_two_things():
    """A state alone is refused."""
    with pytest.raises(TypeError, match="step of scan returned a float; return the next state"):
        scan(lambda s, x: s + x, 0.0, [1.0])


def gru_like(h, x, w):
    """Return the next state of a small recurrent network, twice."""
    following = [tanh(total([w[i] * x[i], h[1 - i], x[1 - i]])) for i in range(2)]
    return following, following


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 40])
def test_lifted_it_has_the_values_and_gradients_of_the_loop(backend, steps):
    """With a loss of the results, and of the last state."""
    X = np.sin(np.arange(2.0 * steps)).reshape(steps, 2)

    def loss(w, X):
        h, ys = scan(lambda h, x: gru_like(h, x, w), [w[0], 0.0], X)
        return total([y[0] * y[1] for y in ys]) + 2.0 * h[0] + ys[-1][1]

    w, of_lifted = [Value(0.5), Value(-0.3)], [Value(0.5), Value(-0.3)]
    expected, result = loss(w, X), lift(backend=backend)(loss)(of_lifted, X)
    assert result.data == pytest.approx(expected.data, rel=1e-13)
    expected.backward()
    result.backward()
    assert gradients(of_lifted) == pytest.approx(gradients(w), rel=1e-12)


def test_it_is_differentiated_as_the_loop_is():
    """Within a lifted function, too."""

    def decay(rate, x):
        return scan(lambda s, _: (s * rate + x, None), x, length=5)[0]

    expected = grad(decay)(Value(0.9), 2.0)

    @lift
    def lifted(rate, x):
        return grad(decay)(rate, x)

    result = lifted(Value(0.9), 2.0)
    assert result.data == pytest.approx(expected.data, rel=1e-13)


def test_each_sample_of_vmap_has_a_loop():
    """Its numbers stay those of its sample."""

    def last(x):
        return scan(lambda s, x: (0.5 * s + x, None), 0.0, x)[0]

    X = np.arange(12.0).reshape(4, 3)

    @lift
    def lifted(X):
        return vmap(last)(X)

    result = lifted(X)
    assert [float(r) for r in result] == pytest.approx([last(x) for x in X], rel=1e-14)
