"""The printed program: it says what is computed, in names of the user's program."""

import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agreement import Outcome, arrays, backward, compare, leaves, weights_of
from formulas import Reader, flat
from hypothesis import given, settings
from strategies import Program, programs

from liftgrad import Trainer, Value, lift, nn, optim, vmap
from liftgrad.errors import LiftError
from liftgrad.functional import dot, log_softmax, mean, softmax, take, where
from liftgrad.lift.explain import printer
from liftgrad.lift.explain.naming import Paths
from liftgrad.numbers import plain

GOLDEN = Path(__file__).parent / "golden"


def moons(sizes: tuple[int, ...] = (16, 32, 1), points: int = 100) -> tuple[Any, ...]:
    @lift
    def loss(model, X, y):
        scores = [model(x) for x in X]
        hinge = sum((1 - yi * s).relu() for yi, s in zip(y, scores, strict=True)) / len(scores)
        return hinge + 1e-4 * sum(p * p for p in model.parameters())

    return loss, *two_moons(sizes, points)


def moons_with_vmap(sizes: tuple[int, ...] = (16, 32, 1), points: int = 100) -> tuple[Any, ...]:
    @lift
    def loss(model, X, y):
        margins = vmap(lambda x, t: (1 - t * model(x)).relu())(X, y)
        return mean(margins) + 1e-4 * sum(p * p for p in model.parameters())

    return loss, *two_moons(sizes, points)


def two_moons(sizes: tuple[int, ...], points: int) -> tuple[Any, ...]:
    random = np.random.default_rng(0)
    X, y = random.normal(size=(points, 2)), np.sign(random.normal(size=points))
    return seeded(nn.MLP(2, list(sizes))), X, y


def classifier(sizes: tuple[int, ...] = (32, 10), points: int = 50) -> tuple[Any, ...]:
    @lift
    def loss(model, X, labels):
        return mean(vmap(lambda x, label: -take(log_softmax(model(x)), label))(X, labels))

    random = np.random.default_rng(0)
    labels = random.integers(0, sizes[-1], size=points)
    return loss, seeded(nn.MLP(8, list(sizes))), random.normal(size=(points, 8)), labels


def attention(width: int = 16, length: int = 8, heads: int = 4, words: int = 27) -> tuple[Any, ...]:
    size = width // heads

    @lift
    def loss(state, tokens, targets):
        keys, values, losses = [], [], []
        for t in range(length):
            x = [a + b for a, b in zip(take(state["wte"], tokens[t]), state["wpe"][t], strict=True)]
            q, k, v = ([dot(row, x) for row in state[name]] for name in ("wq", "wk", "wv"))
            keys.append(k)
            values.append(v)
            seen = []
            for h in range(heads):
                part = slice(h * size, (h + 1) * size)
                weights = softmax([dot(q[part], key[part]) / size**0.5 for key in keys])
                seen += [
                    dot(weights, [value[h * size + j] for value in values]) for j in range(size)
                ]
            x = [a + dot(row, seen) for a, row in zip(x, state["wo"], strict=True)]
            scores = log_softmax([dot(row, x) for row in state["head"]])
            losses.append(-take(scores, targets[t]))
        return sum(losses) / length

    random = np.random.default_rng(0)
    shapes = {"wte": (words, width), "wpe": (length, width), "head": (words, width)}
    shapes |= dict.fromkeys(("wq", "wk", "wv", "wo"), (width, width))
    state = {
        name: [[Value(0.3 * x) for x in row] for row in random.normal(size=shape)]
        for name, shape in shapes.items()
    }
    tokens, targets = random.integers(0, words, size=(2, length))
    return loss, state, tokens, targets


def polynomial() -> tuple[Any, ...]:
    @lift
    def value(c, x):
        return sum(a * x**i for i, a in enumerate(c)) + abs(x) - x**-2 + 1 / (x * c[1])

    return value, [Value(0.5 * i - 1.0) for i in range(6)], Value(2.0)


def convolution() -> tuple[Any, ...]:
    @lift
    def energy(kernel, image):
        return sum(
            sum(kernel[a][b] * image[i + a][j + b] for a in range(3) for b in range(3)).relu()
            for i in range(5)
            for j in range(6)
        )

    random = np.random.default_rng(0)
    kernel = [[Value(x) for x in row] for row in random.normal(size=(3, 3))]
    return energy, kernel, random.normal(size=(7, 8))


def recurrence() -> tuple[Any, ...]:
    @lift
    def last(weights, xs):
        h = [0.0] * 3
        for x in xs:
            h = [dot(row, [*h, x, 1.0]).tanh() for row in weights]
        return sum(h)

    random = np.random.default_rng(0)
    return last, [[Value(x) for x in row] for row in random.normal(size=(3, 5))], np.arange(4.0)


def gathers() -> tuple[Any, ...]:
    @lift
    def mixed(xs, w):
        order, factors = [3, 1, 0, 6, 5, 2, 4], [1.5, 2.5, 3.5, 9.0, 1.0, 1.0, 2.0]
        return sum(w[i] * xs[j] * f for i, (j, f) in enumerate(zip(order, factors, strict=True)))

    return mixed, [Value(1.0 + i) for i in range(7)], [Value(2.0 - i) for i in range(7)]


def branches() -> tuple[Any, ...]:
    @lift
    def total(xs, limit):
        return sum(where(x > limit, x * limit, (x - limit) * (x - limit)) for x in xs)

    return total, [Value(0.5 * i) for i in range(5)], 1.2


def seeded(model: nn.Module) -> nn.Module:
    random = np.random.default_rng(1)
    for p in model.parameters():
        p.data = float(random.normal())
    return model


SMALL = {
    "moons": lambda: moons((4, 3, 1), 6),
    "moons with vmap": lambda: moons_with_vmap((4, 3, 1), 6),
    "classifier": lambda: classifier((4, 3), 5),
    "attention": lambda: attention(4, 5, 2, 3),
    "attention, one head": lambda: attention(3, 4, 1, 5),
    "polynomial": polynomial,
    "convolution": convolution,
    "recurrence": recurrence,
    "gathers": gathers,
    "branches": branches,
}


@pytest.mark.parametrize("name", SMALL)
def test_carried_out_as_it_is_printed_a_program_gives_the_results_and_gradients(name: str) -> None:
    """A listing is complete: a reader that knows nothing else computes the same."""
    function, *arguments = SMALL[name]()
    result = function(*arguments)
    result.backward()
    parameters = [p for x in arguments for p in flat(x) if isinstance(p, Value)]
    by_name = function.source.arguments(tuple(arguments), {})
    samples = len(arguments[-1]) if isinstance(arguments[-1], np.ndarray) else None
    reader = Reader(by_name, samples)
    reader.numbers[f"∂{function.__name__}",] = 1.0
    reader.run(str(function.program))
    assert reader.numbers[function.__name__,] == pytest.approx(result.data, rel=1e-12)
    gradients = [reader.numbers.get(("∂", id(p)), 0.0) for p in parameters]
    assert gradients == pytest.approx([p.grad for p in parameters], rel=1e-10, abs=1e-13)


@pytest.mark.thorough
@settings(max_examples=3000 if "LIFTGRAD_SOAK" in os.environ else 100)
@given(programs(largest=40, samples=5))
def test_so_does_any_program(program: Program) -> None:
    """Random programs, with batches, tables and several results."""
    function = lift(backend="numpy")(program.function())
    arguments = program.parameters(Value), *arrays(program)
    results = leaves(function(*arguments))
    scalars = [x for x in results if isinstance(x, Value)]
    weights = weights_of(program, len(scalars))
    backward(scalars, weights)
    numbers = [plain(n) for x in results for n in np.atleast_1d(x)]
    computed = Outcome(numbers, [p.grad for p in leaves(arguments[0])])
    with pytest.MonkeyPatch.context() as whole_tables:
        whole_tables.setattr(printer, "_NUMBERS_IN_NOTE", 1_000_000)
        text = str(function.program)

    reader = Reader(function.source.arguments(arguments, {}), len(program.X))
    batched = function._last.built.batched_outputs
    seeds = iter(weights)
    for i, each in enumerate(batched):
        place = ("∂f",) if len(batched) == 1 else ("∂f", i)
        reader.numbers[place] = 0.0 if each else next(seeds)
    reader.run(text)
    gradient = [reader.numbers.get(("∂", id(p)), 0.0) for p in leaves(arguments[0])]
    if function._last.built.seed is None:  # the adjoint of a single result is 1 in the text
        gradient = [weights[0] * x for x in gradient]
    compare(program, computed, {"printed": Outcome(numbers, gradient)})


PRINTED: dict[str, Callable[[], Any]] = {
    "moons": moons,
    "moons_with_vmap": moons_with_vmap,
    "classifier": classifier,
    "attention": attention,
}


@pytest.mark.parametrize("name", PRINTED)
def test_programs_print_as_they_did(name: str) -> None:
    """With LIFTGRAD_UPDATE=1 in the environment the text is written anew."""
    function, *arguments = PRINTED[name]()
    function(*arguments)
    compare_with_golden(name, str(function.program))


def test_a_trainer_prints_the_update_too() -> None:
    """Under a heading of its own, and only after the first run."""
    loss, model, X, y = moons()
    trainer = Trainer(loss, optim.SGD(model.parameters(), lr=0.1, momentum=0.9), batch_size=20)
    with pytest.raises(LiftError, match="first run"):
        _ = trainer.program
    trainer.run(1, model, X, y)
    compare_with_golden("moons_trainer", str(trainer.program))


def compare_with_golden(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("LIFTGRAD_UPDATE"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    assert text + "\n" == path.read_text(encoding="utf-8")


def test_a_layer_is_a_matrix_product() -> None:
    """An affine map and its activation, in the names of the model."""
    function, *arguments = moons()
    function(*arguments)
    assert "h2[s,i] = relu(z2 := model.layers.1.b[i] + Σ_k model.layers.1.w[i,k]·h1[s,k])" in str(
        function.program
    )


def test_a_line_says_what_it_was_rolled_from() -> None:
    """How many scalar operations, by name."""
    function, *arguments = moons()
    function(*arguments)
    assert re.search(
        r"s<100, i<16, k<2 +from 1,600 × \(2 products, sum, relu\)", str(function.program)
    )


def test_there_is_no_program_before_the_first_call() -> None:
    """It is an error that says so."""
    function, *_ = moons()
    with pytest.raises(LiftError, match="first call"):
        _ = function.program


def test_the_beginning_of_a_long_program_is_its_repr() -> None:
    """60 lines, and how many more there are."""

    @lift
    def powers(x):
        return [x ** (i + 0.5) for i in range(100)]

    powers(Value(0.5))
    text, beginning = str(powers.program), repr(powers.program)
    assert len(beginning.splitlines()) == 61
    assert text.startswith(beginning.rsplit("\n", 1)[0])
    assert beginning.endswith("more lines; print() shows all.")


def test_several_results_are_numbered() -> None:
    """The function's name with an index."""

    @lift
    def both(xs):
        return [x.exp() for x in xs], sum(xs)

    both([Value(1.0), Value(2.0)])
    text = str(both.program)
    assert "both[i] = exp1[i]" in text
    assert "both[2] = z1" in text


def test_results_of_vmap_have_the_name_of_the_function() -> None:
    """With the sample as the first index."""

    @lift
    def predict(model, X):
        return vmap(model)(X)

    predict(seeded(nn.MLP(2, [3, 2])), np.ones((4, 2)))
    assert "predict[s,i] = model.layers.1.b[i] + Σ_k model.layers.1.w[i,k]·h1[s,k]" in str(
        predict.program
    )


def test_names_of_arguments_are_not_used_for_anything_else() -> None:
    """Neither for loops nor for what is computed."""

    @lift
    def total(i, k, h1):
        return sum((a * k).relu() * b for a, b in zip(i, h1, strict=True))

    total([Value(1.0), Value(2.0)], Value(2.0), [Value(3.0), Value(4.0)])
    text = str(total.program)
    assert "h2[j] = relu(z1 := i[j]·k)" in text
    assert "total = Σ_l h2[l]·h1[l]" in text


def test_statistics_are_one_readable_paragraph() -> None:
    """Traces, sizes and times, a line each."""
    function, *arguments = moons((4, 1), 5)
    function(*arguments)
    function(*arguments)
    first, second, third = str(function.stats).splitlines()
    assert first == "1 trace, 1 call served by a program that was there already"
    assert re.fullmatch(
        r"[\d,]+ scalar operations → \d+ tensor operations \(with the gradient\), \d+ kernels",
        second,
    )
    assert third.startswith("trace 0.")


# --- names of parameters -------------------------------------------------------------------------


def written(paths: list[str], places: list[int]) -> str:
    reference = Paths(paths).reference(np.array(places), "")
    assert reference is not None
    return reference.write(["i", "j", "k"][: len(reference.columns)])


def test_the_name_of_a_list_of_modules_is_left_out_between_words() -> None:
    """Of `layers.1.neurons.3.w.5` the neuron is an index of w."""
    paths = [f"model.layers.1.neurons.{i}.w.{j}" for i in range(3) for j in range(2)]
    assert written(paths, list(range(6))) == "model.layers.1.w[i,j]"
    assert written(paths, [0, 1]) == "model.layers.1.neurons.0.w[i]"


def test_it_is_kept_where_two_lists_would_have_one_name() -> None:
    """Whatever was printed before."""
    paths = [f"model.{name}.{i}.w.{j}" for name in "ab" for i in range(3) for j in range(2)]
    shared = Paths(paths)
    for _ in range(2):
        first = shared.reference(np.arange(6), "")
        second = shared.reference(np.arange(6, 12), "")
    assert first is not None
    assert second is not None
    assert first.write(["i", "j"]) == "model.a.w[i,j]"
    assert second.write(["i", "j"]) == "model.b.w[i,j]"


def test_names_of_like_things_are_an_index() -> None:
    """Words may be an index as numbers are."""
    paths = [f"state.{name}.{i}" for name in ("q", "k", "v") for i in range(2)]
    reference = Paths([*paths, "state.rest.0"]).reference(np.arange(6), "")
    assert reference is not None
    assert reference.columns[0].labels == ("q", "k", "v")
    assert reference.write(["c", "i"]) == "state[c,i]"


def test_parameters_of_different_kinds_have_no_common_name() -> None:
    """An array and a single number are counted through."""
    assert Paths(["m.w.0", "m.w.1", "m.b"]).reference(np.arange(3), "") is None


@pytest.mark.parametrize(
    ("encoding", "line"),
    [
        ("ascii", r"<lambda> = 0.25*sum_k \xe4[k]^2"),
        ("cp1252", "<lambda> = 0.25·sum_k ä[k]²"),
        ("utf-8", "<lambda> = 0.25·Σ_k ä[k]²"),
    ],
)
def test_a_program_can_be_printed_where_signs_are_lacking(monkeypatch, encoding, line):
    """They are spelled, and a letter of the user's names is escaped; columns stay columns."""
    loss = lift(lambda ä: 0.25 * sum(x * x for x in ä))  # noqa: PLC2401, it is the point
    loss([Value(1.0), Value(2.0)]).backward()
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding, write_through=True))
    print(loss.program)  # noqa: T201, that is what this is about
    first, second = raw.getvalue().decode(encoding), repr(loss.program)
    (second + str(loss.stats)).encode(encoding)
    for said in (first, second):
        assert line in said
        assert len({text.rindex("    ") for text in said.splitlines() if "k<2" in text}) == 1
