"""Scalar programs of many kinds, as people write them: lifted, they give eager's numbers."""

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from agreement import leaves
from strategies import made_of

from liftgrad import Value, nn
from liftgrad.data import make_moons
from liftgrad.functional import (
    dot,
    logsumexp,
    mean,
    relu,
    sigmoid,
    softmax,
    take,
    tanh,
    total,
    where,
)
from liftgrad.lift.function import lift
from liftgrad.lift.stand_ins.vmap import vmap

BACKENDS = ("native", "numpy")


def numbers(shape: tuple[int, ...], seed: int = 0) -> Any:
    """Return nested lists of numbers."""
    return np.random.default_rng(seed).normal(size=shape).round(3).tolist()


def outcome(function: Callable[..., Any], parameters: Any, *inputs: Any) -> tuple[Any, Any]:
    """Return a function's results, and the gradient of their sum."""
    p = made_of(Value, parameters)
    results = leaves(function(p, *inputs))
    sum(results).backward()
    return [x.data for x in results], [v.grad for v in leaves(p)]


def eager_inputs(inputs: tuple[Any, ...]) -> list[Any]:
    """Return arrays as nested lists, of Values where they hold floats."""

    def plain(x: Any) -> Any:
        if isinstance(x, np.ndarray):
            return made_of(Value, x.tolist()) if x.dtype.kind == "f" else x.tolist()
        return Value(x) if isinstance(x, float) else x

    return [plain(x) for x in inputs]


@pytest.fixture(params=BACKENDS)
def check(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A function that lifts a program and compares it with itself, run eagerly."""

    def check_one(function: Callable[..., Any], parameters: Any, *inputs: Any) -> Any:
        lifted = lift(backend=request.param)(function)
        expected = outcome(function, parameters, *eager_inputs(inputs))
        for _ in range(2):  # the second call meets a program that was built before
            found = outcome(lifted, parameters, *inputs)
            for a, b in zip(expected, found, strict=True):
                np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-13 * max(map(abs, a)))
        return lifted

    return check_one


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_demo_of_micrograd(backend):
    """Its losses as published, stepped by hand, to 1e-9 at step 99."""
    random.seed(1337)
    X, y = make_moons(100, noise=0.1, seed=1337)
    model = nn.MLP(2, [16, 16, 1])

    @lift(backend=backend)
    def loss(model, X, y):
        scores = [model(x) for x in X]
        margins = [(1 + -yi * score).relu() for yi, score in zip(y, scores, strict=True)]
        penalty = 1e-4 * sum(p * p for p in model.parameters())
        return sum(margins) * (1.0 / len(margins)) + penalty

    losses = []
    for k in range(100):
        result = loss(model, X, y)
        losses.append(result.data)
        model.zero_grad()
        result.backward()
        for p in model.parameters():
            p.data -= (1.0 - 0.9 * k / 100) * p.grad
    assert losses[0] == pytest.approx(0.8958441028683222, rel=1e-13)
    assert losses[1] == pytest.approx(1.7235905336972022, rel=1e-12)
    assert losses[99] == pytest.approx(0.010978370135492717, rel=1e-9)


def test_causal_attention(check):
    """Two heads over 7 tokens: token t sums over 1, 2, 3, ... earlier ones."""
    tokens, width, heads = 7, 6, 2

    def linear(w, x):
        return [dot(row, x) for row in w]

    def attention(p, X):
        q, k, v = ([linear(p[name], x) for x in X] for name in ("q", "k", "v"))
        size = width // heads
        out = []
        for t in range(tokens):
            row = []
            for h in range(heads):
                part = slice(h * size, (h + 1) * size)
                logits = [dot(q[t][part], k[s][part]) / size**0.5 for s in range(t + 1)]
                weights = softmax(logits)
                row += [
                    sum(weights[s] * v[s][j] for s in range(t + 1))
                    for j in range(h * size, (h + 1) * size)
                ]
            out.append([a + b for a, b in zip(linear(p["o"], row), X[t], strict=True)])
        return mean([e * e for row in out for e in row])

    p = {name: numbers((width, width), seed) for seed, name in enumerate("qkvo")}
    check(attention, p, np.array(numbers((tokens, width), 9)))


def test_a_recurrent_network(check):
    """An Elman network over 12 steps, its losses at all of them."""

    def run(p, X, y):
        h = [0.0] * 5
        loss = 0.0
        for x, target in zip(X, y, strict=True):
            h = [
                tanh(dot(w, x, dot(u, h, b)))
                for w, u, b in zip(p["w"], p["u"], p["b"], strict=True)
            ]
            loss = loss + (dot(p["o"], h) - target) ** 2
        return loss / len(y)

    p = {
        "w": numbers((5, 3)),
        "u": numbers((5, 5), 1),
        "b": numbers((5,), 2),
        "o": numbers((5,), 3),
    }
    check(run, p, np.array(numbers((12, 3), 4)), np.array(numbers((12,), 5)))


@pytest.mark.parametrize(
    ("size", "window", "stride"), [(9, 3, 1), (11, 3, 2), (8, 1, 1), (19, 4, 3)]
)
def test_a_convolution(check, size, window, stride):
    """Two kernels over an image, relu, the mean of each map, and a linear layer."""
    places = range(0, size - window + 1, stride)

    def network(p, image):
        features = []
        for kernel, bias in zip(p["kernels"], p["biases"], strict=True):
            maps = [
                relu(
                    sum(
                        kernel[a][b] * image[i + a][j + b]
                        for a in range(window)
                        for b in range(window)
                    )
                    + bias
                )
                for i in places
                for j in places
            ]
            features.append(mean(maps))
        return sigmoid(dot(p["out"], features))

    p = {
        "kernels": numbers((2, window, window)),
        "biases": numbers((2,), 1),
        "out": numbers((2,), 2),
    }
    check(network, p, np.array(numbers((size, size), 3)))


@pytest.mark.parametrize("degree", [0, 1, 5, 12])
def test_polynomials(check, degree):
    """Horner's scheme and powers, fitted to 17 points."""

    def horner(p, x, y):
        def at(u):
            result = p[-1]
            for coefficient in reversed(p[:-1]):
                result = result * u + coefficient
            return result

        return mean([(at(u) - v) ** 2 for u, v in zip(x, y, strict=True)])

    def powers(p, x, y):
        at = [sum(c * u**i for i, c in enumerate(p)) for u in x]
        return mean([(a - v) ** 2 for a, v in zip(at, y, strict=True)])

    x, y = np.linspace(-1.0, 1.0, 17), np.array(numbers((17,)))
    check(horner, numbers((degree + 1,), 1), x, y)
    check(powers, numbers((degree + 1,), 1), x, y)


def test_a_simulation(check):
    """Three bodies on springs for 50 steps, by its initial state and its constants."""

    def simulate(p, dt):
        positions, velocities = list(p["x"]), list(p["v"])
        for _ in range(50):
            forces = [-p["k"] * x for x in positions]
            for i in range(2):
                pull = p["c"] * (positions[i + 1] - positions[i])
                forces[i] = forces[i] + pull
                forces[i + 1] = forces[i + 1] - pull
            velocities = [v + f * dt for v, f in zip(velocities, forces, strict=True)]
            positions = [x + v * dt for x, v in zip(positions, velocities, strict=True)]
        energy = 0.5 * sum(v * v for v in velocities) + 0.5 * p["k"] * sum(x * x for x in positions)
        return [energy, *positions]

    check(simulate, {"x": [1.0, 0.0, -0.5], "v": [0.0, 0.3, 0.1], "k": 2.0, "c": 0.7}, 0.01)


def test_embeddings_and_cross_entropy(check):
    """Rows of a table by run-time indices, scored against run-time targets."""

    def loss(p, tokens, targets):
        losses = []
        for token, target in zip(tokens, targets, strict=True):
            h = [tanh(e) for e in take(p["embedding"], token)]
            logits = [dot(row, h) for row in p["out"]]
            losses.append(logsumexp(logits) - take(logits, target))
        return mean(losses)

    p = {"embedding": numbers((11, 4)), "out": numbers((11, 4), 1)}
    tokens = np.array([3, 1, 4, 1, 5, 9, 2, 6, 10, 0])
    lifted = check(loss, p, tokens, np.roll(tokens, -1))
    check_other = outcome(lifted, p, tokens[::-1].copy(), tokens)
    expected = outcome(loss, p, tokens[::-1].tolist(), tokens.tolist())
    np.testing.assert_allclose(check_other[1], expected[1], rtol=1e-12, atol=1e-14)
    assert lifted.stats.traces == 1


def test_a_penalty_over_all_parameters(check):
    """L2 over nested dicts and lists of parameters, each in its own way."""

    def penalty(p):
        rest = [e for block in p["blocks"] for row in block for e in row]
        return 1e-4 * sum(e * e for e in rest) + 1e-3 * total([abs(b) for b in p["biases"]["b"]])

    check(
        penalty,
        {"blocks": [numbers((5, 3)), numbers((2, 7), 1)], "biases": {"b": numbers((9,), 2)}},
    )


@pytest.mark.parametrize("samples", [1, 2, 3, 7, 8, 9, 31, 64, 100])
def test_vmap(check, samples):
    """A network mapped over samples, with what they share and what each of them chooses."""

    def loss(p, X, y, group):
        def one(x, target, g):
            h = [relu(dot(w, x, b)) for w, b in zip(p["w"], p["b"], strict=True)]
            score = dot(p["o"], h) + take(p["offsets"], g)
            return relu(1.0 - target * score) + p["b"][0] * 0.5

        losses = vmap(one)(X, y, group)
        return mean(losses) + 0.1 * total(losses)

    p = {
        "w": numbers((5, 3)),
        "b": numbers((5,), 1),
        "o": numbers((5,), 2),
        "offsets": numbers((4,), 3),
    }
    rng = np.random.default_rng(4)
    X, y = rng.normal(size=(samples, 3)), rng.choice([-1.0, 1.0], samples)
    check(loss, p, X, y, rng.integers(0, 4, samples))


def test_a_batch_size_is_known_at_run_time():
    """One program serves all of them, and a smaller batch after a larger one."""

    @lift
    def loss(w, X):
        return total(vmap(lambda x: (dot(w, x) - 1.0) ** 2)(X))

    for samples in (5, 17, 1, 64, 3):
        X = np.array(numbers((samples, 3), samples))
        w = [Value(0.5), Value(-1.0), Value(2.0)]
        loss(w, X).backward()
        residuals = X @ [0.5, -1.0, 2.0] - 1.0
        np.testing.assert_allclose([v.grad for v in w], 2.0 * residuals @ X, rtol=1e-12)
    assert loss.stats.traces == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_may_be_empty(backend):
    f = lift(backend=backend)(lambda p, X: total(vmap(lambda x: x[0] * p[0])(X)) + p[1])
    for samples in (3, 0, 5):
        p = [Value(2.0), Value(3.0)]
        result = f(p, np.ones((samples, 2)))
        result.backward()
        assert (result.data, p[0].grad, p[1].grad) == (2.0 * samples + 3.0, samples, 1.0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["i1", "u1", "<i4", ">i4", "i8", "u8"])
def test_integers_of_any_kind_are_indices(backend, kind):
    f = lift(backend=backend)(lambda p, k: take(p, k[0]) * k[1])
    assert f([Value(2.0), Value(3.0)], np.array([1, 5], kind)).data == 15.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_results_of_any_shape(backend):
    """Arguments, constants, the same number twice, empty containers; of single and of no Values."""

    @lift(backend=backend)
    def everything(p, x):
        y = p[0] * x
        return {"y": [y, y], "p": p[1], "x": x, "constants": (1.5, 2, True, None), "none": [[], {}]}

    p = [Value(2.0), Value(3.0)]
    result = everything(p, 0.5)
    assert [v.data for v in result["y"]] == [1.0, 1.0]
    assert (result["p"].data, result["x"].data) == (3.0, 0.5)
    assert result["constants"] == (1.5, 2, True, None)
    assert result["none"] == [[], {}]
    (result["y"][0] + 2.0 * result["y"][1] + result["p"]).backward()
    assert [v.grad for v in p] == [1.5, 1.0]

    assert lift(backend=backend)(lambda p: [])([]) == []
    assert lift(backend=backend)(lambda p: 3)(p) == 3
    assert lift(backend=backend)(lambda x: x * 2.0)(0.5).data == 1.0
    assert lift(backend=backend)(lambda p: p[0])(p).data == 2.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_results_for_each_sample(backend):
    """They are arrays as long as the batch, even where all samples agree."""

    @lift(backend=backend)
    def f(p, X):
        return [vmap(lambda x: p * x[0])(X), vmap(lambda x: p * 2.0)(X), vmap(lambda x: 3.0)(X)]

    first, second, third = f(Value(2.0), np.array([[1.0], [2.0], [3.0]]))
    assert first.tolist() == [2.0, 4.0, 6.0]
    assert second.tolist() == [4.0, 4.0, 4.0]
    assert third.tolist() == [3.0, 3.0, 3.0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_not_differentiated_cannot_poison_a_gradient(backend):
    """Infinite derivatives of other results, branches and elements of a table stay out of it."""

    def gradient(f, *inputs):
        p = [Value(0.0), Value(4.0)]
        f(p, *inputs).backward()
        return [v.grad for v in p]

    def of_first(p):
        return lifted(p)[1]

    lifted = lift(backend=backend)(lambda p: [p[0].sqrt(), p[1].sqrt(), p[0] * p[1]])
    assert gradient(of_first) == [0.0, 0.25]

    @lift(backend=backend)
    def branch(p):
        return where(p[0] > 0.0, p[0].sqrt(), p[1] * 2.0)

    assert gradient(branch) == [0.0, 2.0]

    @lift(backend=backend)
    def table(p, i):
        return take([v.sqrt() for v in p], i[0]) * 3.0

    assert gradient(table, np.array([1])) == [0.0, 0.75]
    assert gradient(table, np.array([0]))[0] == math.inf

    @lift(backend=backend)
    def detached(p):
        return p[0].sqrt().data * p[1] + p[1].sqrt()

    assert gradient(detached) == [0.0, 0.25]


def test_float32():
    """The same program in float32 is right to float32's precision."""

    def f(p, X):
        return mean([tanh(dot(w, x)) * x[0] for w in p for x in X])

    p, X = numbers((9, 5)), np.array(numbers((13, 5), 1))
    expected = outcome(f, p, *eager_inputs((X,)))
    for backend in BACKENDS:
        found = outcome(lift(backend=backend, dtype="float32")(f), p, X.astype(np.float32))
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_infinities_are_numbers_like_others(backend, dtype):
    """No warning comes from them, wherever they meet; warnings are errors in these tests."""

    @lift(backend=backend, dtype=dtype)
    def f(p, x):
        return p[0] * x

    @lift(backend=backend, dtype=dtype)
    def of_many(p, X):
        return total(vmap(lambda x: x * p[0])(X))

    def gradient(*results):
        for v in p:
            v.grad = 0.0
        for result in results:
            result.backward()
        return p[0].grad

    p = [Value(1.0), Value(2.0)]
    assert math.isnan(gradient(f(p, math.inf), f(p, -math.inf)))
    assert math.isnan(gradient(f(p, math.inf) * 0.0, f(p, 1.0)))
    assert math.isnan(gradient(of_many(p, np.resize([math.inf, -math.inf], 20_000))))
    assert math.isnan(gradient(of_many(p, np.full(20_000, math.inf)) * 0.0))
    assert gradient(f(p, 1e300)) == (1e300 if dtype == "float64" else math.inf)
