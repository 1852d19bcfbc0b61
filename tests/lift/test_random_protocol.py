"""Random programs that ask Python's questions: the lifted one gives eager's numbers, or is refused.

Conditions that are compared and counted, numbers that are looked up, told apart by their class or
identity, tied parameters, generators, refusals that are caught: statements of such kinds in random
order, on whatever numbers there are. `LIFTGRAD_SOAK=1` runs 10,000 of them.
"""

import math
import os
import random

import numpy as np
import pytest

from liftgrad import Value
from liftgrad.errors import LiftError
from liftgrad.functional import take, where
from liftgrad.lift.function import lift

PROGRAMS = 10_000 if os.environ.get("LIFTGRAD_SOAK") else 300
STATEMENTS = [
    line
    for line in r"""
# arithmetic that all go through
{n} = {a} * {b} + 0.5
{n} = {a} - {b}
{n} = abs({a}) + 1.0
{n} = {v}.tanh()
{n} = where({a} > {b}, {a}, {b} * 0.5)
{n} = {v} ** 2
{n} = -{a}
{n} = {a} / 4
# conditions as values
{n} = ({a} > 0.5) * {b}
{n} = sum(t > 0.0 for t in X) + {a}
{n} = ({a} < {b}) + 1
{n} = where(({a} > 0) == ({b} > 0), {a}, 2.0)
{n} = ({a} > 0) != ({b} < 1)
{n} = where(({a} > 0) ^ ({b} > 0), 1.0, {a})
{n} = where(({a} > 0) & ({b} > 0), {a}, {b})
{n} = {a} == {b}
{n} = {a} != 1.0
{n} = where({a} == 1.0, {b}, {a})
{n} = where(({a} > 0) is True, {a}, {b})
{n} = 1.0 if {a} > {b} else {b}
# identity, membership, hashing
{n} = {a} if {a} in [{b}, {v}] else {b}
{n} = {v} if {v} in [{v}, {b}] else {b}
{n} = {{1.0: 5.0, 2.0: 6.0}}.get({a}, 7.0) * {b}
{n} = len({{{v}, {u}}}) * {a}
{n} = {{{v}: 2.0}}[{v}] * {a}
{n} = [{v}, {u}].index({u}) + {a}
{n} = {a} * ({v} is {u})
{n} = {a} if {a} in {{0.5, 1.0}} else {b}
{n} = [0.5, 1.0].count({a}) + {b}
# classes
{n} = {a} * 2 if isinstance({b}, float) else {b}
{n} = {a} if type({b}) is float else {b}
{n} = {a} if isinstance({b}, Value) else {b}
{n} = {a} if type({v}) is Value else {b}
{n} = {a} * isinstance({b}, (int, bool))
{n} = {a} if hasattr({b}, 'data') else {b}
{n} = getattr({a}, 'real', 3.0) * {b}
{n} = {a} if {b}.__class__ is float else {b}
{n} = {a} if isinstance({b}, np.floating) else {b}
{n} = {a} if isinstance(X, list) else {b}
# conversions, text, truth
{n} = float({x}) * {a}
{n} = int({x}) * {a}
{n} = round({x}, 1) + {a}
{n} = {x} // 1 + {a}
{n} = len(str({a})) * {b}
{n} = len(f'{{{a}:.1f}}') * {b}
{n} = {v} or {a}
{n} = {a} and {b}
{n} = Value(float({x})) * {v}
{n} = {v}.data * {a}
{n} = not {a}
{n} = bool({v}) * {a}
{n} = math.sqrt({x} * {x}) + {a}
{n} = np.exp({x}) * {a}
{n} = {x} % 2 + {a}
# the largest and the smallest
{n} = max({a}, {b})
{n} = min([{a}, {b}, 0.25])
{n} = max(t for t in X) - {a}
{n} = max({v}, {u}) * {a}
{n} = sorted([{a}, {b}])[0]
{n} = max([{a}, float('nan')])
# arrays and indices
{n} = X.sum() * {a}
{n} = X.reshape(3, 1).T[0][1] + {a}
{n} = X.mean() + len(X)
{n} = take([{a}, {b}, 1.0], K[0])
{n} = K[1] * {a}
{n} = [1.0, 2.0, 3.0][K[0]] * {a}
{n} = (K[0] == K[1]) * {a}
{n} = K[0] // 2 + {a}
{n} = X[X > 0.2].sum() + {a}
{n} = float(K[0]) * {a}
{n} = X[K[0]] * {a}
{n} = (0.5 in X) * {a}
{n} = np.sum(X) + {a}
# refusals that are caught, and errors that are not refusals
{n} = attempt(lambda: float({x})) * {a}
{n} = attempt(lambda: math.floor({x})) + {a}
{n} = attempt(lambda: 1.0 if {a} > {b} else 2.0) * {b}
{n} = attempt(lambda: [5.0][{a}]) + {b}
{n} = attempt(lambda: {{}}[{a}]) * {b}
{n} = attempt(lambda: np.log({a})) + {b}
# what is another thing at the next call
{n} = {a} * rng.random()
{n} = {a} + next(counter)
{n} = {a} * (len(notes.append(1) or notes))
# ties
{n} = tied[0] * {a} + tied[1]
{n} = sum(set(tied)) * {a}
{n} = (tied[0] is tied[1]) * {a}
{n} = len({{*tied, {v}}}) * {a}
{n} = sum(t * t for t in tied) - {a}
""".splitlines()
    if line and line[0] != "#"
]


def attempt(get):
    """Return what a call gives, or 10.0 if it raises: refusals are swallowed, too."""
    try:
        return get()
    except Exception:  # noqa: BLE001
        return 10.0


def source(chance):
    """Return the text of a program."""
    values, numbers = ["p", "q"], ["x", "X[0]", "0.5"]
    lines = []
    for i in range(chance.randrange(2, 7)):
        anything = [*values, *numbers]
        template = chance.choice(STATEMENTS)
        lines.append(
            template.format(
                n=f"n{i}",
                a=chance.choice(anything),
                b=chance.choice(anything),
                v=chance.choice(values),
                u=chance.choice(values),
                x=chance.choice(numbers),
            )
        )
        numbers.append(f"n{i}")
    body = "\n".join(
        f"    {line}" for line in [*lines, f"return p * 1.0 + q * 0.5 + n{len(lines) - 1}"]
    )
    return f"def program(p, q, x, X, K, tied):\n{body}\n"


def function(text):
    """Return a program with generators, a counter and a list of its own."""
    space = {
        "Value": Value,
        "np": np,
        "math": math,
        "where": where,
        "take": take,
        "attempt": attempt,
        "rng": random.Random(7),
        "counter": iter(range(100)),
        "notes": [],
    }
    exec(compile(text, "<program>", "exec"), space)
    return space["program"]


def outcome(program, numbers):
    """Return result and gradient, or the error."""
    p, q, x, X, K = numbers
    p, q = Value(p), Value(q)
    try:
        result = program(p, q, x, np.array(X), np.array(K), [p, p])
        if isinstance(result, Value):
            result.backward()
            return [result.data, p.grad, q.grad]
        return [float(result), 0.0, 0.0]
    except Exception as error:  # noqa: BLE001
        return error


def agree(eager, lifted):
    """Whether two outcomes are the same, or the lifted one is no number."""
    if isinstance(lifted, Exception):
        return True
    return not isinstance(eager, Exception) and lifted == pytest.approx(
        eager, rel=1e-9, abs=1e-12, nan_ok=True
    )


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")
def test_no_program_becomes_another_in_silence():
    """Of what is neither right nor refused by itself, the comparison with eager lets none pass."""
    chance = random.Random(20261128)
    right = refused = by_comparison = 0
    for _ in range(PROGRAMS):
        text = source(chance)
        calls = [
            [
                *(chance.choice([0.5, 1.0, -0.75, 2.0]) for _ in range(3)),
                [chance.choice([0.5, 1.0, -0.25, 1.5]) for _ in range(3)],
                [chance.randrange(3) for _ in range(2)],
            ]
            for _ in range(2)
        ]
        lifted, unchecked = lift(function(text)), lift(function(text), check=False)
        for numbers in calls:
            eager = outcome(function(text), numbers)
            got = outcome(lifted, numbers)
            assert agree(eager, got), f"{text}\n{numbers}\neager {eager}\nlifted {got}"
            if isinstance(got, Exception):
                refused += isinstance(got, LiftError)
                by_comparison += not isinstance(outcome(unchecked, numbers), LiftError)
            else:
                right += 1
    if "LIFTGRAD_SOAK" in os.environ:
        print(f"{right} right, {refused} refused, of these {by_comparison} by comparison")  # noqa: T201
    assert right > 0.2 * PROGRAMS
    assert by_comparison < 0.05 * PROGRAMS
