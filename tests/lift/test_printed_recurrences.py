"""Functions that go forward in time, printed: loops in the user's names, complete and right."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from formulas import Reader, flat

from liftgrad import Value, lift, scan, vmap
from liftgrad.functional import dot, logsumexp, mean, tanh
from liftgrad.lift.explain import printer


def growth(x, y, p):
    return p[0] * x - p[1] * x * y, p[2] * x * y - p[3] * y


def midpoint(x, y, p, dt):
    k = growth(x, y, p)
    k = growth(x + dt / 2 * k[0], y + dt / 2 * k[1], p)
    return x + dt * k[0], y + dt * k[1]


def hares(p, seen, dt):
    x, y = 10.0, 5.0
    misfit = 0.0
    for at in seen:
        x, y = midpoint(x, y, p, dt)
        misfit = misfit + (x - at) ** 2
    return misfit / len(seen)


def forward(A, B, seen):
    states = range(len(A))
    alpha = [b[0] for b in B]
    for at in seen:
        alpha = [
            logsumexp([alpha[j] + A[j][i] for j in states]) - (at - B[i][0]) ** 2 for i in states
        ]
    return -logsumexp(alpha)


def bodies(mass, at, steps):
    places, speeds = list(at), [0.1 * x for x in at]
    others = [[j for j in range(len(at)) if j != i] for i in range(len(at))]
    for _ in range(steps):
        pulls = [sum(mass[j] * (places[j] - x) for j in others[i]) for i, x in enumerate(places)]
        speeds = [v + 0.01 * pull for v, pull in zip(speeds, pulls, strict=True)]
        places = [x + 0.1 * v for x, v in zip(places, speeds, strict=True)]
    return sum(x * x for x in places)


def every_sequence(w, X):
    def last(xs):
        h = 0.5
        for t in range(60):
            h = tanh(w[0] * h + w[1] * xs[t])
        return h

    return mean(vmap(last)(X))


def with_zeros(p, x):
    h = p[0]
    for t in range(90):
        h = tanh(sum([x[t % 3], h, 0.0 if t == 2 else p[1] * t]))
    return h


def scanned(w, xs):
    def step(h, x):
        h = [tanh(dot(row, h) + x) for row in w]
        return h, h[0] * h[1]

    h, products = scan(step, [0.0, 0.5, 0.1], xs)
    return sum(h) + sum(products)


def with_letters(t, s):
    i = 0.1
    for k in s:
        i = tanh(t[0] * i + t[1] * k)
    return i


def second_order(w, steps):
    before, now = w[0], w[1]
    for _ in range(steps):
        before, now = now, 0.9 * now - w[2] * before
    return now


def values(*numbers: float) -> list[Value]:
    return [Value(x) for x in numbers]


def random(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=shape)


FUNCTIONS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "hares": lambda: (hares, values(1.1, 0.4, 0.1, 0.4), random(40), 0.05),
    "forward": lambda: (
        *(forward, [values(*row) for row in random(3, 3)]),
        *([values(*row) for row in random(3, 1)], random(30)),
    ),
    "bodies": lambda: (bodies, values(1.0, 2.0, 3.0), random(3), 25),
    "every sequence": lambda: (every_sequence, values(0.7, 0.4), random(5, 60)),
    "with zeros": lambda: (with_zeros, values(0.3, 0.01), random(3)),
    "scanned": lambda: (scanned, [values(*row) for row in random(3, 3)], random(8)),
    "with letters": lambda: (with_letters, values(0.3, 0.5), random(70)),
    "second order": lambda: (second_order, values(1.0, 0.5, 0.3), 70),
}


def printed(name: str) -> tuple[str, Any, list[Any]]:
    """Return the printed program, the lifted function, and its arguments."""
    function, *arguments = FUNCTIONS[name]()
    lifted = lift(backend="numpy")(function)
    lifted(*arguments)
    return str(lifted.program), lifted, arguments


@pytest.mark.parametrize("name", FUNCTIONS)
def test_carried_out_as_it_is_printed_a_recurrence_gives_its_result_and_gradient(name, monkeypatch):
    """As the eager engine computes them."""
    monkeypatch.setattr(printer, "_NUMBERS_IN_NOTE", 1_000_000)
    text, lifted, arguments = printed(name)
    assert re.search(r"for . < \d+:", text)
    assert "down to 0:" in text
    samples = len(arguments[-1]) if isinstance(arguments[-1], np.ndarray) else None
    reader = Reader(lifted.source.arguments(tuple(arguments), {}), samples)
    reader.run(text)
    function, *_ = FUNCTIONS[name]()
    result = function(*arguments)
    result.backward()
    parameters = [p for x in arguments for p in flat(x) if isinstance(p, Value)]
    assert reader.numbers[function.__name__,] == pytest.approx(result.data, rel=1e-9)
    gradient = [reader.numbers[("∂", id(p))] for p in parameters]
    assert gradient == pytest.approx([p.grad for p in parameters], rel=1e-9, abs=1e-13)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("hares", ["x[-1] = 10", "x[t] = x[t-1] + dt·(k1.0 := "]),
        ("forward", ["alpha[-1,i] = B[i,0]", "z3[t,i,j] = alpha[t-1,j] + A[j,i]"]),
        ("bodies", ["places[t,i] = places[t-1,i] + 0.1·speeds[t,i]"]),
        ("every sequence", ["h[s,t] = tanh("]),
        ("with letters", ["i[n] = tanh(z1 := t[0]·i[n-1] + t[1]·s[n])"]),
        ("scanned", ["h[t,i] = tanh(z1 := xs[t] + Σ_k w[i,k]·h[t-1,k])", "∂h[t-1,i] = Σ_k ∂z1["]),
    ],
)
def test_states_have_the_names_that_the_user_gave_them(name, lines):
    """At the step that they are of, one before the first for what the loop begins with."""
    text, *_ = printed(name)
    for line in lines:
        assert line in text
