"""Random programs with scans, by a seed: states, sequences and results of many structures."""

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

from liftgrad import scan, vmap
from liftgrad.functional import (
    dot,
    exp,
    logsumexp,
    maximum,
    mean,
    sigmoid,
    sin,
    take,
    tanh,
    total,
    where,
)


def program(seed: int) -> Callable[[Any, Any, Any], Any]:
    """Return a function of four parameters, of rows of three numbers, and of indices up to 2.

    It may be called with any number of rows and as many indices.
    """

    def run(w: Any, X: Any, k: Any) -> Any:
        rng = Random(seed)
        known = [*w, 0.5, *[number(rng, list(w)) for _ in range(rng.randrange(3))]]
        sequences: list[Any] = [X, k, [row[0] * w[0] for row in X]]
        for _ in range(rng.randint(1, 3)):
            state = structure(rng, known, 2)
            xs = rng.choice([None, *sequences, (X, k), {"a": rng.choice(sequences), "b": X}])
            step, again = step_of(rng.randrange(10**9), known), rng.random() < 0.3
            last, ys = scan(step, state, xs, len(X), checkpoint=again)
            numbers = leaves(last)
            known += rng.sample(numbers, min(len(numbers), 2))
            for y in ys:
                if rng.random() < 0.5:
                    known.append(total(y) if rng.random() < 0.5 else mean(y))
                if rng.random() < 0.4:
                    known.append(y[rng.choice([0, -1, 1])] * y[-2])
            sequences += [*ys, ys[0][::-1], (ys[0], X)]
        return total(tanh(0.3 * x) * (i + 1.0) for i, x in enumerate(known))

    return run


def program_of_samples(seed: int) -> Callable[[Any, Any, Any], Any]:
    """Return such a function that scans over the numbers of each row, in a vmap."""

    def run(w: Any, X: Any, _k: Any) -> Any:
        def each(x: Any) -> Any:
            rng = Random(seed)
            known = [*w, x[0] * 0.5, 0.25]
            state = structure(rng, known, 1)
            last, ys = scan(step_of(rng.randrange(10**9), known), state, (x, [0.5 * a for a in x]))
            numbers = [*leaves(last), total(ys[0]), ys[1][1]]
            return total(tanh(a) * (i + 1.0) for i, a in enumerate(numbers))

        return mean(vmap(each)(X)) * w[0]

    return run


def step_of(seed: int, outer: list[Any]) -> Callable[[Any, Any], Any]:
    """Return a step that does the same each time it is called."""
    outer = list(outer)

    def step(state: Any, x: Any) -> Any:
        rng = Random(seed)
        indices: list[Any] = []
        pool = leaves(state)
        for a in leaves(x):
            (indices if isinstance(a, np.integer) else pool).append(a)
        pool += rng.sample(outer, min(3, len(outer)))
        for _ in range(rng.randint(1, 6)):
            pool.append(number(rng, pool, indices))
        return following(rng, state, pool), (number(rng, pool), rng.choice(pool))

    return step


def leaves(x: Any) -> list[Any]:
    """Return the numbers in a nested structure."""
    if isinstance(x, list | tuple | dict | np.ndarray):
        items = x.values() if isinstance(x, dict) else x
        return [leaf for item in items for leaf in leaves(item)]
    return [] if x is None else [x]


def structure(rng: Random, known: list[Any], depth: int) -> Any:
    """Return a random nested state."""
    kind = rng.randrange(6) if depth else 0
    if kind <= 1:
        return rng.choice([*known, 0.0, 1.0, -0.3])
    parts = [structure(rng, known, depth - 1) for _ in range(rng.randint(1, 3))]
    if kind == 2:
        return {"abc"[i]: part for i, part in enumerate(parts)}
    return [*parts, 0.1] if kind == 3 else (*parts, 0.2, None) if kind == 4 else (*parts,)


def following(rng: Random, state: Any, pool: list[Any]) -> Any:
    """Return the next state: numbers that were computed, that were there, or sums."""
    if isinstance(state, dict):
        return {key: following(rng, x, pool) for key, x in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(following(rng, x, pool) for x in state)
    if state is None:
        return None
    other = rng.choice(pool)
    computed = [
        lambda: state,
        lambda: state + tanh(other),
        lambda: dot([0.1, 0.2], rng.choices(pool, k=2), start=state),
        lambda: tanh(other),
        lambda: number(rng, pool),
        lambda: number(rng, pool),
    ]
    return rng.choice(computed)()


def number(rng: Random, pool: list[Any], indices: Any = ()) -> Any:
    """Return a number computed of some that are known, between -3 and 3."""
    a, b, c = rng.choice(pool), rng.choice(pool), rng.choice(pool)
    if indices and rng.random() < 0.3:
        return tanh(take([a, b, c], rng.choice(indices)))
    computed = [
        lambda: sin(a + b),
        lambda: tanh(a * b - c),
        lambda: where(sin(3.0 * a) > 0.1, tanh(b), sigmoid(c)),
        lambda: sin(dot([a, b], [c, 0.5])),
        lambda: maximum(tanh(a), sin(b)),
        lambda: tanh(total([a, b, c, 0.25])),
        lambda: tanh(logsumexp([sin(a), sin(b), 0.1])),
        lambda: tanh(a) * exp(-(tanh(b) ** 2)),
        lambda: sigmoid(a) - 0.5,
        lambda: tanh(a) / (1.5 + sin(b)),
    ]
    return rng.choice(computed)()
