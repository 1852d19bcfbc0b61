"""The programs in examples/ run at a small size, and lifted they give eager's numbers."""

import math
import random
import re
import subprocess
import sys

import numpy as np
import pytest

from example_programs import assert_agree, example, run
from liftgrad import Value, lift, nn


def test_fit_finds_the_published_answers():
    """NIST's certified values of Misra1a, and the O-rings' coefficients as in the textbooks."""
    fit = example("fit")
    p, errors = fit.fit_curve()
    np.testing.assert_allclose(p, [2.3894212918e02, 5.5015643181e-04], rtol=1e-10)
    # NIST's errors leave the residuals' second derivatives out of the Hessian.
    np.testing.assert_allclose(errors, [2.7070075241, 7.2668688436e-06], rtol=2e-3)
    p, errors = fit.fit_risk()
    np.testing.assert_allclose(p, [15.0429, -0.2322], atol=5e-5)
    np.testing.assert_allclose(errors, [7.3786, 0.1082], atol=5e-5)


def test_the_expansions_of_fit_are_those_of_the_eager_engine():
    """Loss, gradient and Hessian."""
    fit = example("fit")
    x, y = fit.MISRA1A[:4].T.copy()
    p = np.array([240.0, 5e-4])
    for lifted in (fit.squares_expansion, fit.surprise_expansion):
        expected = lifted.function(p.tolist(), x.tolist(), y.tolist())
        for a, b in zip(fit.numbers(lifted(p, x, y)), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.process
def test_fit_runs_from_a_shell():
    """And complains about nothing."""
    result = run("fit")
    assert (result.returncode, result.stderr) == (0, "")
    assert "intercept = 15.0429" in result.stdout


def test_digits_lifted_is_digits_eager():
    """On made-up pictures."""
    digits = example("digits")
    random.seed(0)
    X = np.random.default_rng(0).uniform(size=(4, 64))
    assert_agree(digits.loss, nn.MLP(64, [6, 10], "tanh"), X, np.array([3, 1, 4, 1]))


@pytest.mark.process
def test_digits_learns_within_an_epoch():
    """More than 90 % of the test pictures after the first."""
    pytest.importorskip("sklearn")
    result = run("digits", "--epochs", "1")
    assert (result.returncode, result.stderr) == (0, "")
    assert float(re.search(r"on test pictures ([\d.]+)%", result.stdout)[1]) > 90.0


def test_digits_without_scikit_learn_says_so(monkeypatch):
    """In one sentence."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(SystemExit, match="scikit-learn, which is not installed"):
        example("digits").load()


def test_the_pendulum_lifted_is_the_pendulum_eager():
    """Through 60 steps."""
    pendulum = example("pendulum")
    parameters = nn.Module()
    parameters.p = [Value(1.0), Value(0.1)]
    loss = lift(lambda model, record: pendulum.loss.function(model.p, record))
    assert_agree(loss, parameters, pendulum.measure(60))


@pytest.mark.process
def test_the_pendulum_is_recovered():
    """To 5 %, from 80 steps of its record."""
    result = run("pendulum", "--steps", "80")
    assert (result.returncode, result.stderr) == (0, "")
    length, friction = re.findall(r"^(?:length|friction) +([\d.]+)", result.stdout, re.MULTILINE)
    assert float(length) == pytest.approx(1.3, rel=0.05)
    assert float(friction) == pytest.approx(0.25, abs=0.05)


@pytest.fixture
def names(tmp_path):
    """A file of 200 names made of a few syllables."""
    draw = random.Random(0)
    words = ["".join(draw.choices(["ma", "ri", "lo", "en"], k=2)) for _ in range(200)]
    path = tmp_path / "words.txt"
    path.write_text("\n".join(words), encoding="utf-8")
    return str(path)


def losses(result: subprocess.CompletedProcess) -> tuple[float, float]:
    """Return the losses that a program of names printed."""
    assert (result.returncode, result.stderr) == (0, "")
    train, validation = re.search(r"loss ([\d.]+).*validation ([\d.]+)", result.stdout).groups()
    return float(train), float(validation)


def test_the_mlp_of_makemore_lifted_is_that_of_eager():
    """On the letters of a word."""
    mlp = example("makemore_mlp")
    random.seed(0)
    assert_agree(mlp.loss, mlp.Model(5), *mlp.examples(["emma"]))


@pytest.mark.process
def test_the_mlp_of_makemore_learns_names(names):
    """Made-up ones: a letter is one of 27 before, and one of few after training."""
    train, validation = losses(run("makemore_mlp", names, "--hidden", "8", "--steps", "800"))
    assert train < 1.0
    assert validation < 1.1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "No such file"),
        (b"\xff\xfe", "it is no text"),
        (b"anna R2D2", "'R2D2'; names consist of the letters a to z"),
        (b"anna otto", "2 names; give at least 10"),
    ],
)
def test_bad_files_of_names_get_a_sentence(tmp_path, text, sentence):
    """And no traceback."""
    path = tmp_path / "words.txt"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(SystemExit, match=sentence):
        example("names").read(str(path))


def test_the_bigram_of_makemore_lifted_is_that_of_eager():
    """From a table of any numbers."""
    bigram = example("makemore_bigram")
    model = nn.Module()
    model.table = [[Value(math.sin(27 * i + j)) for j in range(27)] for i in range(27)]
    loss = lift(lambda model, counts: bigram.loss.function(model.table, counts))
    assert_agree(loss, model, bigram.pairs(["emma", "olivia"]) / 12.0)


@pytest.mark.process
def test_the_bigram_of_makemore_finds_the_best_table(names):
    """Which is the one of the letters' frequencies."""
    result = run("makemore_bigram", names)
    least = float(re.search(r"the least: ([\d.]+)", result.stdout)[1])
    assert losses(result)[0] == pytest.approx(least, abs=2e-3)


def test_the_rnn_of_makemore_lifted_is_that_of_eager():
    """On two names of different lengths."""
    rnn = example("makemore_rnn")
    random.seed(0)
    letters, targets, weights = rnn.examples(["e", "eva"], 4)
    assert_agree(rnn.loss, rnn.Model(2), letters, targets, weights.astype(float))
    ends = [row.index(0) + 1 for row in targets.tolist()]
    assert ends == np.count_nonzero(weights, axis=1).tolist() == [2, 4]
    assert weights.sum() / 2 == pytest.approx(1.0)


@pytest.mark.process
def test_the_rnn_of_makemore_learns_names(names):
    """Made-up ones, better than by guessing among the letters that they have."""
    train, validation = losses(run("makemore_rnn", names, "--hidden", "6", "--steps", "300"))
    assert train < 1.0
    assert validation < 1.1


def test_the_pinn_lifted_is_the_pinn_eager():
    """With derivatives of derivatives of derivatives."""
    pinn = example("pinn")
    random.seed(0)
    assert_agree(pinn.loss, nn.MLP(1, [3, 4, 1], "tanh"), np.array([0.0, 0.3, 1.0]))


@pytest.mark.process
def test_the_pinn_solves_its_equation():
    """To 0.01, with 4 neurons in each layer."""
    result = run("pinn", "--hidden", "4", "--steps", "2000")
    assert (result.returncode, result.stderr) == (0, "")
    assert float(re.search(r"largest error of u ([\d.e-]+)", result.stdout)[1]) < 0.01


def test_the_convolution_lifted_is_the_convolution_eager():
    """On two made-up pictures."""
    convolution = example("digits_convolution")
    random.seed(0)
    pictures = convolution.padded(np.random.default_rng(0).uniform(size=(2, 64)))
    assert_agree(convolution.loss, convolution.Model(2), pictures, np.array([3, 1]))


@pytest.mark.process
def test_the_convolution_learns_within_an_epoch():
    """More than 90 % of the test pictures with 6 maps."""
    pytest.importorskip("sklearn")
    result = run("digits_convolution", "--epochs", "1", "--maps", "6")
    assert (result.returncode, result.stderr) == (0, "")
    assert float(re.search(r"on test pictures ([\d.]+)%", result.stdout)[1]) > 90.0


def test_the_lstm_lifted_is_the_lstm_eager():
    """On sequences whose sums are those of two of their numbers, one from each half."""
    lstm = example("lstm")
    random.seed(0)
    X, y = lstm.sequences(3, 5, 0)
    assert (X[:, :2, 1].sum(axis=1) == 1.0).all()
    assert (X[:, 2:, 1].sum(axis=1) == 1.0).all()
    assert [sum(x for x, mark in row if mark) for row in X.tolist()] == pytest.approx(y.tolist())
    assert_agree(lstm.loss, lstm.Model(3), X, y)


@pytest.mark.process
def test_the_lstm_remembers_and_adds():
    """With an error a tenth of what always answering 1 has."""
    result = run("lstm", "--length", "4", "--hidden", "4", "--steps", "1000")
    assert (result.returncode, result.stderr) == (0, "")
    assert float(re.search(r"on new sequences ([\d.]+)", result.stdout)[1]) < 1 / 60


@pytest.mark.process
def test_the_demo_of_micrograd_runs_three_ways_to_one_loss(tmp_path):
    """Eager, recorded and lifted; and the neuron's graph is one that Graphviz would draw."""
    path = tmp_path / "neuron.dot"
    result = run("micrograd_demo", "--points", "20", "--steps", "6", "--graph", str(path))
    assert (result.returncode, result.stderr) == (0, "")
    said = re.findall(
        r"^(\w+): step (\d+) loss ([\d.]+), accuracy (\d+)%", result.stdout, re.MULTILINE
    )
    by_way = {way: [rest for w, *rest in said if w == way] for way, *_ in said}
    assert list(by_way) == ["eager", "recorded", "lifted"]
    assert len(by_way["eager"]) == 2
    assert float(by_way["eager"][1][1]) < float(by_way["eager"][0][1])
    assert by_way["eager"] == by_way["recorded"] == by_way["lifted"]
    boxes = re.findall(r"^  (\d+) \[shape=record", path.read_text(), re.MULTILINE)
    edges = re.findall(r"^  (\d+) -> (\d+)$", path.read_text(), re.MULTILINE)
    # x, w of two each, b; their dot product; its relu, whose "1" is appended to an operation.
    assert len(boxes) == 7
    assert len(edges) == 5 + 1 + 1 + 1


def test_the_loss_of_micrograds_demo_is_what_plain_numbers_give():
    """Hinge and penalty, written once more without any Value."""
    demo = example("micrograd_demo")
    random.seed(1337)
    X, y = demo.make_moons(8, noise=0.1, seed=1)
    model = nn.MLP(2, [16, 16, 1])

    def score(x: list[float]) -> float:
        """By numbers alone."""
        for layer in model.layers:
            found = []
            for n in layer.neurons:
                z = sum((w.data * a for w, a in zip(n.w, x, strict=True)), n.b.data)
                found.append(max(z, 0.0) if n.nonlin else z)
            x = found
        return x[0]

    expected = sum(max(0.0, 1 - t * score(x)) for x, t in zip(X, y, strict=True)) / len(X)
    expected += 1e-4 * sum(p.data**2 for p in model.parameters())
    assert demo.loss(model, X, y)[0].data == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--points", "1"), "with 2 points or more"),
        (("--steps", "0"), "at least 1 step"),
        (("--graph", "nowhere/n.dot"), "there is no directory"),
    ],
)
@pytest.mark.process
def test_the_demo_of_micrograd_refuses_what_it_cannot_do(arguments, sentence):
    """In a sentence, before it trains."""
    result = run("micrograd_demo", *arguments)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
