"""Loops over time are found by where operations were recorded, and compute what was recorded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrences import recurrence
from stages import values

from liftgrad.derivatives import grad
from liftgrad.functional import dot, logsumexp, sin, tanh, total, where
from liftgrad.lift.call.flatten import flatten
from liftgrad.lift.capture.tracing import trace
from liftgrad.lift.function import lift
from liftgrad.lift.ir.check import check_groups
from liftgrad.lift.ir.groups import Elementwise, Leaf
from liftgrad.lift.loops.find import find_loops
from liftgrad.lift.recovery import _leaves
from liftgrad.lift.rolling.roll import roll
from liftgrad.lift.run.numpy_executor import execute
from liftgrad.lift.stand_ins.vmap import vmap
from liftgrad.lift.trace.sited_tape import SitedTape
from liftgrad.lift.trace.tape import Tape

SAMPLES = 3


def looped(function, *arguments):
    """The function's program with its loops, which computes what it does without them."""
    source = lift(function).source
    taken = source.arguments(arguments, {})
    flat = flatten(taken)
    plain, tape = Tape(flat.groups), SitedTape(flat.groups)
    trace(source.run, dict(taken), flat, plain)
    outputs = trace(source.run, dict(taken), flat, tape).outputs
    assert tape.nodes == plain.nodes
    leaves = _leaves(flat, tape)
    program = find_loops(tape.nodes, tape.sites, leaves, outputs)
    if program is not None:
        check_groups(program, after="loops")
        same(program, roll(tape.nodes, leaves, outputs))
    return program


def same(program, expected):
    """Both compute the same, as exactly as it is determined by inputs that are rounded."""
    found, wanted, nearby = results(program), results(expected), results(expected, 1e-15)
    for a, b, c in zip(found, wanted, nearby, strict=True):
        if np.isfinite(b).all():
            assert (np.abs(a - b) <= 1e-12 * (1 + np.abs(b)) + 100 * np.abs(c - b)).all()


def results(program, change=0.0):
    leaves = {}
    for i, group in enumerate(program.groups):
        if isinstance(group, Leaf):
            rng = np.random.default_rng(len(group.name) + group.size)
            shape = (group.size, SAMPLES) if group.batched else group.size
            numbers = rng.uniform(0.5, 1.5, shape) * (1 + change)
            leaves[i] = rng.integers(0, 2, shape) if group.kind == "index" else numbers
    arrays = execute(program, leaves)
    return [arrays[v.group][v.positions] for v in program.outputs]


def sizes(program):
    """Of each loop how many groups it has, of which how many are heads, and its steps."""
    return [(loop.stop - loop.first, loop.heads, loop.steps) for loop in program.loops]


def are_uniform(program):
    """Whether all steps of all loops are alike."""
    return all((np.diff(x) == x[1]).all() for loop in program.loops for x in loop.offsets)


# --- programs ------------------------------------------------------------------------------------


def lotka_volterra(p, observed, h):
    def slope(x, y):
        return p[0] * x - p[1] * x * y, p[3] * x * y - p[2] * y

    x, y, loss = 10.0, 5.0, 0.0
    for a, b in observed:
        k1 = slope(x, y)
        k2 = slope(x + h / 2 * k1[0], y + h / 2 * k1[1])
        x, y = x + h * k2[0], y + h * k2[1]
        loss = loss + (x - a) ** 2 + (y - b) ** 2
    return loss / len(observed)


def gru(P, X):
    h = [0.0] * 4
    for x in X:
        xh = [*x, *h]
        z, r = (
            [sum(w * v for w, v in zip(row, xh, strict=True)).sigmoid() for row in W] for W in P[:2]
        )
        xr = [*x, *[a * b for a, b in zip(r, h, strict=True)]]
        n = [sum(w * v for w, v in zip(row, xr, strict=True)).tanh() for row in P[2]]
        h = [(1 - a) * b + a * c for a, b, c in zip(z, n, h, strict=True)]
    return sum(h)


def kalman(p, observed):
    q, r = p
    m, P, loss = 0.0, 1.0, 0.0
    for y in observed:
        P = P + q.exp()
        S = P + r.exp()
        K = P / S
        e = y - m
        m = m + K * e
        P = (1 - K) * P
        loss = loss + 0.5 * (S.log() + e * e / S)
    return loss


def newton(a):
    x = a[0]
    for _ in range(30):
        for b in a:
            x = x - (x * x - b) / (2 * x + 1) * 0.5
        x = x * 0.9 + 0.1
    return x


def forward_algorithm(A, B, observed):
    alpha = [b[0] for b in B]
    for y in observed:
        alpha = [
            logsumexp([a + row[s] for a, row in zip(alpha, A, strict=True)]) - (y - B[s][0]) ** 2
            for s in range(4)
        ]
    return logsumexp(alpha)


def heat(u, k):
    for _ in range(20):
        inner = [u[i] + k[0] * (u[i - 1] - 2 * u[i] + u[i + 1]) for i in range(1, len(u) - 1)]
        u = [u[0], *inner, u[-1]]
    return sum(a * a for a in u)


def bodies(m, q):
    q, v = list(q), [0.0] * 10
    for _ in range(20):
        pull = [
            sum(m[j] * (b - a) / ((b - a) ** 2 + 0.1) for j, b in enumerate(q) if b is not a)
            for a in q
        ]
        v = [a + 0.01 * f for a, f in zip(v, pull, strict=True)]
        q = [a + 0.01 * b for a, b in zip(q, v, strict=True)]
    return sum(a * a for a in q)


def soft_dtw(x, y, g):
    R = {(i, j): 1e6 for i in range(len(x) + 1) for j in range(len(y) + 1)}
    R[0, 0] = 0.0
    for i, a in enumerate(x, 1):
        for j, b in enumerate(y, 1):
            before = [R[i - 1, j], R[i, j - 1], R[i - 1, j - 1]]
            R[i, j] = (a - b) ** 2 - g[0] * logsumexp([-r / g[0] for r in before])
    return R[len(x), len(y)]


def cholesky(A, y):
    n = len(y)
    L = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            s = A[0] * 0.7 ** (i - j) + (A[1] if i == j else 0.0)
            for k in range(j):
                s = s - L[i][k] * L[j][k]
            L[i][j] = s.sqrt() if i == j else s / L[j][j]
    return sum(L[i][i].log() * y[i] for i in range(n))


def fourier(re, im):
    n = len(re)
    if n == 1:
        return re, im
    (a, b), (c, d) = fourier(re[0::2], im[0::2]), fourier(re[1::2], im[1::2])
    turned = [(np.cos(2 * np.pi * k / n), np.sin(2 * np.pi * k / n)) for k in range(n // 2)]
    s = [x * c[k] + y * d[k] for k, (x, y) in enumerate(turned)]
    t = [x * d[k] - y * c[k] for k, (x, y) in enumerate(turned)]
    even = [x + y for x, y in zip([*a, *b], [*s, *t], strict=True)]
    odd = [x - y for x, y in zip([*a, *b], [*s, *t], strict=True)]
    half = n // 2
    return even[:half] + odd[:half], even[half:] + odd[half:]


# --- what is found -------------------------------------------------------------------------------


def test_an_ode_is_a_loop_with_two_states():
    """It has all steps, the first of which is like the others; the loss is computed behind it."""
    program = looped(lotka_volterra, values(4), np.ones((50, 2)), 0.05)
    ((_, heads, steps),) = sizes(program)
    assert (heads, steps) == (2, 50)
    assert are_uniform(program)
    assert 50 in [g.size for g in program.groups[program.loops[0].stop :]]


def test_a_recurrent_networks_products_with_its_inputs_are_before_the_loop():
    """They are groups of all steps; the loop has one state, of the width of the network."""
    program = looped(gru, [[values(6) for _ in range(4)] for _ in range(3)], np.ones((30, 2)))
    ((_, heads, steps),) = sizes(program)
    assert (heads, steps) == (1, 30)
    assert are_uniform(program)
    before = program.groups[: program.loops[0].first]
    assert sum(g.size for g in before if isinstance(g, Elementwise)) == 30 * 3 * 4 * 2
    assert program.groups[program.loops[0].first].size == 30 * 4


def test_a_filters_variances_are_a_loop_before_that_of_its_means():
    """They do not depend on the observations."""
    program = looped(kalman, values(2), np.ones(100))
    assert [loop[1:] for loop in sizes(program)] == [(1, 100), (1, 100)]


def test_a_loop_in_a_loop_of_as_many_steps_each_time_is_part_of_the_outer_loops_step():
    """Newton's method, four steps of it within each of thirty."""
    ((groups, heads, steps),) = sizes(looped(newton, values(4)))
    assert (heads, steps) == (1, 30)
    assert groups > 4 * 7


def test_the_forward_algorithm_has_a_state_for_each_state():
    """They are one group."""
    A, B = [values(4) for _ in range(4)], [values(1) for _ in range(4)]
    program = looped(forward_algorithm, A, B, np.ones(40))
    assert [loop[1:] for loop in sizes(program)] == [(1, 40)]
    assert are_uniform(program)


def test_what_is_next_to_a_border_is_as_all_else():
    """A stencil reads one head, which has the border's numbers beside the state."""
    program = looped(heat, np.linspace(0.0, 1.0, 16), values(1))
    assert sizes(program) == [(6, 1, 20)]
    assert are_uniform(program)


def test_bodies_that_attract_each_other_have_positions_and_velocities():
    """Groups of a hundred elements in each step."""
    program = looped(bodies, values(10), np.linspace(0.0, 1.0, 10))
    assert [loop[1:] for loop in sizes(program)] == [(2, 20)]
    assert are_uniform(program)


def test_a_dynamic_programme_goes_by_anti_diagonals():
    """Two loops of Python are one over the diagonals of its table."""
    ((_, heads, steps),) = sizes(looped(soft_dtw, np.ones(6), np.ones(8), values(1)))
    assert (heads, steps) == (2, 6 + 8 - 1)


def test_cholesky_goes_by_columns():
    """A column's elements are computed at once."""
    ((_, _, steps),) = sizes(looped(cholesky, values(2), np.ones(9)))
    assert steps == 9


def test_a_recursion_is_a_loop_over_its_depths():
    """A Fourier transform of 32 numbers has five."""

    def power(re, im):
        re, im = fourier(re, im)
        return sum((a * a + b * b) * k for k, (a, b) in enumerate(zip(re, im, strict=True), 1))

    ((_, _, steps),) = sizes(looped(power, values(32), values(32)))
    assert steps == 5


def test_a_sum_at_every_tenth_step_is_behind_the_loop():
    """The loop's steps are alike all the same."""

    def integral(p):
        x, y, area = 1.0, 0.5, 0.0
        for i in range(200):
            x, y = x + 0.01 * p[0] * y, y - 0.01 * p[1] * x
            if i % 10 == 0:
                area = area + x * x
        return area

    program = looped(integral, values(2))
    ((_, heads, steps),) = sizes(program)
    assert (heads, steps) == (2, 191)  # what comes after the last sum has no use


def test_a_derivative_within_the_function_goes_backwards_in_a_loop_of_its_own():
    """Its operations are where those are that they are adjoints of."""

    def norm_of_gradient(p):
        def energy(q):
            x = q[0]
            for _ in range(40):
                x = x + 0.1 * sin(x * q[1])
            return x * x

        return sum(g * g for g in grad(energy)(p))

    program = looped(norm_of_gradient, values(2))
    assert [loop[2] for loop in sizes(program)] == [40, 40]
    assert program.loops[0].heads == 1


def test_a_loop_for_each_sample():
    """The states of a function that vmap maps are batched."""

    def mapped(p, X):
        def distance(x):
            a = p[0]
            for _ in range(20):
                a = a + 0.1 * (x[0] - a) * p[1]
            return a

        return total(vmap(distance)(X))

    program = looped(mapped, values(2), np.ones((4, 1)))
    (loop,) = program.loops
    assert all(g.batched for g in program.groups[loop.first : loop.stop])


def test_the_first_step_for_each_sample_is_like_the_others():
    """Though its state is zero for all of them, and its products with it are no samples'."""

    def mapped(W, X):
        def last(x):
            h = [0.0, 0.0]
            for a in x:
                h = [tanh(dot(row, h, start=a)) for row in W]
            return sum(h)

        return total(vmap(last)(X))

    program = looped(mapped, [values(2), values(2)], np.ones((4, 12)))
    assert [loop[1:] for loop in sizes(program)] == [(1, 12)]
    assert are_uniform(program)


def test_a_condition_of_an_earlier_step_decides():
    """It comes to the next step as a number."""

    def alternating(p):
        x, up = p[0], p[0] < p[1]
        for _ in range(20):
            x, up = where(up, x * 1.1, x * 0.8), x < p[1]
        return x

    ((_, heads, steps),) = sizes(looped(alternating, values(2)))
    assert heads == 2
    assert 19 <= steps <= 20


def test_a_number_of_some_steps_ago():
    """A lag of three is a head of its own."""

    def delayed(p):
        kept = [p[0], p[0] * 0.9, p[0] * 0.8]
        for _ in range(30):
            kept.append(kept[-1] + 0.1 * sin(kept[-3] * p[1]))
        return kept[-1]

    ((_, heads, steps),) = sizes(looped(delayed, values(2)))
    assert (heads, steps) == (2, 30)


@pytest.mark.parametrize("changed", [0, 1, 20, 38, 39])
@pytest.mark.parametrize("what", ["constant", "operation", "parameter"])
def test_a_step_may_differ_from_the_others(changed, what):
    """A constant is looked up, and where an operation differs, its class has no elements."""

    def recurrence(p):
        x = p[0]
        for i in range(40):
            odd = i == changed
            if what == "constant":
                x = x * p[1] + (0.25 if odd else 0.5) * x.sin()
            elif what == "operation":
                x = x * p[1] + (x.exp() if odd else x.sin()) * 0.1
            else:
                x = x * p[2 if odd else 1] + x.sin()
        return x

    assert looped(recurrence, values(3)).loops


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_steps_are_no_loop(steps):
    """They are quick as they are."""
    assert looped(kalman, values(2), np.ones(steps)) is None


@pytest.mark.parametrize("steps", [4, 5, 7])
def test_some_steps_are_a_loop(steps):
    """Of all of them."""
    assert [loop[2] for loop in sizes(looped(kalman, values(2), np.ones(steps)))] == [steps] * 2


def test_what_does_not_depend_on_itself_is_no_loop():
    """A sum of squares has nothing that goes from step to step."""
    assert looped(lambda p: sum(a * a for a in p), values(20)) is None


def test_a_state_for_each_sample_that_reads_a_sum_over_them_is_no_loop():
    """Some of the loop would be for each sample, and some for all of them."""

    def coupled(p, X):
        a = p[0]
        for _ in range(5):
            a = a + 0.1 * total(vmap(lambda x: x[0] * a)(X))  # noqa: B023
        return a

    assert looped(coupled, values(1), np.ones((4, 1))) is None


@given(st.integers(0, 2**32))
@settings(max_examples=200)
def test_random_recurrences_compute_the_same(seed):
    """Nested, ragged at their ends, with lags, gathers, borders, conditions, run-time indices."""
    text, function, arguments = recurrence(seed)
    try:
        looped(function, *arguments)
    except AssertionError as error:
        error.add_note(text)
        raise
