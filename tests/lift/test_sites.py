"""Sites: where in a program its operations were recorded, and in which order they come there."""

from collections import Counter

import numpy as np
import pytest
from stages import values

from liftgrad.derivatives import grad
from liftgrad.functional import logsumexp, sin
from liftgrad.lift.call.flatten import flatten
from liftgrad.lift.capture.tracing import trace
from liftgrad.lift.function import lift
from liftgrad.lift.trace.nodes import CONSTANT, LEAF
from liftgrad.lift.trace.sited_tape import SitedTape


def sites(function, *arguments):
    """The operation and the site of each node but leaves and constants."""
    source = lift(function).source
    taken = source.arguments(arguments, {})
    flat = flatten(taken)
    tape = SitedTape(flat.groups)
    trace(source.run, dict(taken), flat, tape)
    return [
        (node[0].name, site)
        for node, site in zip(tape.nodes, tape.sites, strict=True)
        if node[0] not in (LEAF, CONSTANT)
    ]


def ordered(function, *arguments):
    """The operations of a program, in the order of their sites."""
    return [name for name, _ in sorted(set(sites(function, *arguments)), key=lambda x: x[1])]


def test_an_iteration_is_where_the_others_are():
    """However often the same operation is recorded."""

    def f(p):
        x = p[0]
        for _ in range(10):
            x = (x * p[1]).sin()
        return x

    assert sorted(Counter(sites(f, values(2))).values()) == [10, 10]


def test_a_number_that_is_no_value_yet_is_no_matter():
    """`__radd__` is where `__add__` is."""

    def f(p):
        x = 1.0
        for _ in range(10):
            x = x + p[0]
        return x

    assert list(Counter(sites(f, values(1))).values()) == [10]


@pytest.mark.parametrize("times", [3, 30])
def test_code_that_python_specialises_stays_where_it_is(times):
    """After some runs Python replaces instructions, as that which calls `sum`."""

    def f(p, x):
        rows = [sum(a * b for a, b in zip(p, row, strict=True)) for row in x]
        return sum(rows)

    counts = Counter(sites(f, values(2), np.ones((times, 2))))
    assert counts["multiply", min(s for n, s in counts if n == "multiply")] == 2 * times
    assert len(counts) == 3


def test_a_helper_is_at_as_many_places_as_it_is_called_from():
    """The chain of calls counts."""

    def half(x):
        return x * 0.5

    def f(p):
        return half(p[0]) + half(p[1])

    assert ordered(f, values(2)) == ["multiply", "multiply", "add"]


def test_operations_within_a_function_of_ours_are_apart():
    """Those of a logsumexp, each at its place."""
    found = sites(lambda p: logsumexp(p) + logsumexp([x * x for x in p]), values(3))
    exponentials = Counter(site for name, site in found if name == "exp")
    assert list(exponentials.values()) == [3, 3]


def test_a_recursion_is_at_one_place():
    """At whatever depth, and whichever call leads there."""

    def pairs(x):
        if len(x) == 1:
            return x[0]
        left, right = pairs(x[: len(x) // 2]), pairs(x[len(x) // 2 :])
        return left * right

    assert list(Counter(sites(pairs, values(16))).values()) == [15]


def test_sites_come_in_the_order_of_the_loops_body():
    """Though the first iteration leaves out what comes first in the others."""

    def f(p):
        x = p[0]
        for i in range(5):
            if i:
                x = x.exp()
            x = x.sin()
            if i % 2:
                x = x.tanh()
        return x

    assert ordered(f, values(1)) == ["exp", "sin", "tanh"]


def test_adjoints_come_backwards_behind_all_else():
    """Each is where the operation is whose adjoint it is."""

    def f(p):
        def inner(q):
            x = q[0]
            for _ in range(6):
                x = sin(x) * q[1]
            return x

        return grad(inner)(p)[0]

    found = sites(f, values(2))
    assert [name for name, _ in found[:2]] == ["sin", "multiply"]
    forward = {site for _, site in found[:12]}
    assert len(forward) == 2
    backward = [(name, site) for name, site in found[12:] if site not in forward]
    assert min(site for _, site in backward) > max(forward)
    cosines = {site for name, site in backward if name == "cos"}
    assert len(cosines) == 1
