"""The programs in examples/ that go forward in time give published and analytic answers."""

import functools
import itertools
import math
import random
import re

import numpy as np
import pytest

from example_programs import assert_agree, example, run
from liftgrad import Value, lift, nn


def values(numbers):
    """Numbers as Values."""
    return [Value(float(x)) for x in numbers]


def module(parameters):
    """A module of some parameters."""
    model = nn.Module()
    model.p = parameters
    return model


def printed_by(result):
    """What a program printed, after it has run without complaint."""
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def by(loss, *settings):
    """An example's loss as a function of a module with its parameters, and of data."""
    return lift(lambda model, *data: loss.function(model.p, *data, *settings))


def cases():
    """Each example's loss with a model and data for it, long enough for a loop."""
    draw = np.random.default_rng(0)
    random.seed(0)
    pelts, nile, casino = example("lynx_hare"), example("nile"), example("casino")
    rod, warping, gru = example("heat"), example("soft_dtw"), example("gru")
    bits = draw.integers(0, 2, (2, 40)).astype(float)
    return {
        "lynx_hare": (by(pelts.loss, 20), module(values(np.log(pelts.START))), pelts.PELTS[:4]),
        "nile": (by(nile.surprise), module(values([9.0, 8.0])), nile.FLOW),
        "casino": (casino.loss, casino.Casino(), casino.play(3, 50, seed=1)),
        "heat": (by(rod.loss, 40), module(values([0.4])), *draw.uniform(size=(2, 9))),
        "soft_dtw": (
            by(warping.loss, 0.1),
            module(values(draw.uniform(size=14))),
            warping.bumps(2, 14),
        ),
        "gru": (lift(lambda model, x: gru.loss.function(model, x, 2)), gru.Echo(3), bits),
    }


@pytest.mark.parametrize("name", ["lynx_hare", "nile", "casino", "heat", "soft_dtw", "gru"])
def test_lifted_it_is_a_loop_and_gives_eagers_numbers(name):
    """Value and gradient, of a program that is listed with a loop over time."""
    loss, model, *data = cases()[name]
    assert_agree(loss, model, *data)
    loss(model, *data)
    assert "for t <" in str(loss.program)


def test_runge_and_kuttas_step_is_of_order_four():
    """Half the step, a sixteenth of the error: against exp(t), the hares' number without lynxes."""
    pelts = example("lynx_hare")

    def error(steps):
        state = [1.0, 0.0]
        for _ in range(steps):
            state = pelts.step(state, (1.0, 0.5, 0.5, 0.5), 1.0 / steps)
        return math.e - state[0]

    assert error(16) / error(32) == pytest.approx(16.0, rel=0.05)


@pytest.mark.process
def test_lynxes_and_hares_live_as_published():
    """Each rate is the posterior's mean to 4 %, and each end of its interval to 4 %, too."""
    number = r"([\d.]+)"
    found = re.findall(
        rf"{number} a year, within \[{number}, {number}\]; published {number}, "
        rf"\[{number}, {number}\]",
        printed_by(run("lynx_hare", "--steps", "2")),
    )
    found = np.array(found, float)
    assert found[:, 3:].tolist() == [[*p] for p in example("lynx_hare").PUBLISHED.values()]
    np.testing.assert_allclose(found[:, :3], found[:, 3:], rtol=0.04)


def test_the_likelihood_of_the_filter_is_that_of_the_joint_distribution():
    """The differences of the flows are jointly normal, and know nothing of the level."""
    nile = example("nile")
    noise, change = 15099.0, 1469.1
    differences = np.diff(nile.FLOW)
    count = len(differences)
    covariance = (change + 2.0 * noise) * np.eye(count)
    covariance -= noise * (np.eye(count, k=1) + np.eye(count, k=-1))
    _, determinant = np.linalg.slogdet(covariance)
    quadratic = differences @ np.linalg.solve(covariance, differences)
    expected = 0.5 * ((count + 1) * math.log(2.0 * math.pi) + determinant + quadratic)
    found = nile.surprise(values(np.log([noise, change])), nile.FLOW).data
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("ratio", "score", "likelihood"),
    [
        (1.0, -3.32, -495.68),
        (0.0360, 0.93, -492.53),
        (0.0745, 0.25, -492.10),
        (0.0974, -0.001, -492.07),
        (0.0973, 0.0, -492.07),
    ],
)
def test_the_gradient_of_the_nile_is_the_published_score(ratio, score, likelihood):
    """Durbin & Koopman's table 2.1: on the way to the maximum, by the ratio of the variances.

    The noise's variance is the best one for each ratio. The errors' variances are proportional to
    it, so the derivative by its logarithm, at the variance 1, tells it. The book leaves two
    constants out.

    """
    nile = example("nile")
    terms = len(nile.FLOW) - 1
    logarithms = values([0.0, math.log(ratio)])
    nile.surprise(logarithms, nile.FLOW).backward()
    best = 1.0 - 2.0 * sum(x.grad for x in logarithms) / terms
    logarithms = values([math.log(best), math.log(ratio * best)])
    surprise = nile.surprise(logarithms, nile.FLOW)
    surprise.backward()
    assert sum(x.grad for x in logarithms) == pytest.approx(0.0, abs=1e-9)
    assert -logarithms[1].grad == pytest.approx(score, abs=0.005)
    constants = 0.5 * (len(nile.FLOW) * math.log(2.0 * math.pi) + terms)
    assert constants - surprise.data == pytest.approx(likelihood, abs=0.006)


@pytest.mark.process
def test_the_niles_variances_are_the_published_ones():
    """And so is the log-likelihood."""
    printed = printed_by(run("nile"))
    for found, published in re.findall(r"([\d.]+), published ([\d.]+)", printed):
        assert float(found) == pytest.approx(float(published), rel=1e-4)
    assert "log-likelihood -633.4646" in printed


def test_the_forward_algorithm_adds_up_all_paths():
    """Of both dice through nine rolls: 512."""
    casino = example("casino")
    model, rolls = casino.Casino(), casino.play(1, 9, seed=2)[0]
    for k, score in enumerate(model.parameters()):
        score.data = math.sin(k)
    moves = [np.exp([s.data for s in row]) for row in model.moves]
    faces = [np.exp([s.data for s in row]) for row in model.faces]
    moves, faces = ([row / row.sum() for row in table] for table in (moves, faces))
    probability = 0.0
    for path in itertools.product((0, 1), repeat=len(rolls)):
        kept = [moves[a][int(a != b)] for a, b in itertools.pairwise(path)]
        seen = [faces[die][roll] for die, roll in zip(path, rolls, strict=True)]
        probability += 0.5 * math.prod(kept) * math.prod(seen)
    found = casino.loss(model, rolls[None]).data * len(rolls)
    assert found == pytest.approx(-math.log(probability), rel=1e-12)


@pytest.mark.process
def test_the_casino_is_found_out():
    """How often each die is kept, and how often it shows a six, to 0.02."""
    printed = printed_by(run("casino", "--rolls", "20", "--evenings", "1000"))
    numbers = re.findall(r"kept ([\d.]+), in truth ([\d.]+); six ([\d.]+), ([\d.]+)", printed)
    assert len(numbers) == 2
    for kept, stay, six, truth in numbers:
        assert float(kept) == pytest.approx(float(stay), abs=0.02)
        assert float(six) == pytest.approx(float(truth), abs=0.02)


def test_soft_dtw_and_its_gradient_are_the_published_ones():
    """As in the documentation of tslearn."""
    distance = example("soft_dtw").distance
    x = values([1, 2, 3])
    found = distance(x, values([3, 4, -3]), 1.0)
    found.backward()
    assert found.data == pytest.approx(41.1876, abs=5e-5)
    np.testing.assert_allclose([a.grad for a in x], [-4.0001, -2.2852, 10.1643], atol=5e-5)
    found = distance(values([1, 2, 2, 3]), values([1, 2, 3, 4]), 1.0)
    assert found.data == pytest.approx(-0.895, abs=5e-3)


def alignments(n, m):
    """All ways from corner to corner of a table."""

    @functools.cache
    def ways(i, j):
        if (i, j) == (0, 0):
            return [[(0, 0)]]
        before = [(i - 1, j), (i, j - 1), (i - 1, j - 1)]
        return [[*way, (i, j)] for a, b in before if a >= 0 and b >= 0 for way in ways(a, b)]

    return ways(n - 1, m - 1)


@pytest.mark.parametrize("gamma", [2.0, 0.3, 1e-4])
def test_soft_dtw_is_the_soft_minimum_of_all_alignments(gamma):
    """Of which there are 129, of 4 with 5; of the last gamma hardly any is soft."""
    x, y = [0.1, 0.9, -0.4, 0.3], [0.2, 1.1, 0.8, -0.3, 0.0]
    ways = alignments(len(x), len(y))
    assert len(ways) == 129
    costs = np.array([sum((x[i] - y[j]) ** 2 for i, j in way) for way in ways])
    least = costs.min()
    expected = least - gamma * math.log(np.exp((least - costs) / gamma).sum())
    found = example("soft_dtw").distance(values(x), values(y), gamma).data
    assert found == pytest.approx(expected, rel=1e-9)
    if gamma < 1e-3:
        assert found == pytest.approx(least, abs=2.0 * gamma)


@pytest.mark.process
def test_the_mean_of_gestures_is_a_gesture():
    """Higher than their average, and closer to them."""
    printed = printed_by(run("soft_dtw", "--length", "12", "--gestures", "3"))
    average, mean = re.search(r"soft-DTW ([\d.-]+) of the average, ([\d.-]+)", printed).groups()
    assert float(mean) < float(average) - 0.1
    low, high = re.search(r"highest number ([\d.]+), ([\d.]+)", printed).groups()
    assert float(high) > 2.0 * float(low)


def test_a_cooling_sine_stays_a_sine():
    """And gets smaller by the factor of the differences' eigenvector, at each step."""
    heat = example("heat")
    first = np.sin(math.pi * np.linspace(0.0, 1.0, 9))
    gain = 0.7 * heat.TIME / 40 * 8**2
    factor = 1.0 - 4.0 * gain * math.sin(math.pi / 16) ** 2
    np.testing.assert_allclose(heat.simulate(first, 0.7, 40), first * factor**40, atol=1e-14)


@pytest.mark.process
def test_the_rods_conductivity_is_the_analytic_one():
    """That of the simulation to 6 digits, and the truth nearly."""
    printed = printed_by(run("heat", "--points", "9", "--steps", "30"))
    found, truth = map(float, re.search(r"conductivity ([\d.]+), in truth (.*)", printed).groups())
    analytic = float(re.search(r"analytic solution ([\d.]+)", printed)[1])
    assert found == pytest.approx(analytic, abs=1.5e-6)
    assert found == pytest.approx(truth, rel=0.01)


def test_a_rod_that_would_become_unstable_gets_a_sentence(monkeypatch, capsys):
    """With the number of steps that it needs."""
    monkeypatch.setattr("sys.argv", ["heat", "--points", "64", "--steps", "100"])
    with pytest.raises(SystemExit):
        example("heat").main()
    assert "64 are stable from 1588 steps on" in capsys.readouterr().err


OUTPUTS = [
    [0.0860699866026, 0.206494298644, -0.324494109905],
    [0.00763202841984, 0.429391676234, -0.131179008048],
    [0.16721172714, -0.103846997317, -0.031627617155],
    [0.444411978918, -0.485238213324, 0.0720339144472],
]
"""Of torch.nn.GRU(2, 3) in float64, PyTorch 2.13, its parameters in order sin(0), sin(1), ..., for
the inputs (cos(t), cos(t + 1))."""
BIAS_GRADIENT = [
    *(-0.09390155885877657, 0.12350734406062205, 0.05851617980919277),
    *(-0.1421888138708514, -0.3517451990965691, -0.07234087653012858),
    *(0.3833132106434892, -0.18610659869843574, -0.08522767052812588),
]
"""Of the sum of the outputs' squares, by bias_hh."""


def test_the_gru_by_hand_is_pytorchs():
    """Its outputs and the gradient by the state's biases, computed once by PyTorch."""
    gru = example("gru").GRU(2, 3)
    numbers = itertools.count()
    for part, count in ((gru.heard, 2), (gru.state, 3)):
        for row in itertools.chain(*part.values()):
            for weight in row[:count]:
                weight.data = math.sin(next(numbers))
    for part in (gru.heard, gru.state):
        for row in itertools.chain(*part.values()):
            row[-1].data = math.sin(next(numbers))

    @lift
    def outputs(gru, x):
        state, seen = [0.0] * 3, []
        for row in x:
            state = gru.step(row, state)
            seen.append(state)
        return seen

    x = np.array([[math.cos(t), math.cos(t + 1)] for t in range(4)])
    found = outputs(gru, x)
    data = [[y.data for y in row] for row in found]
    np.testing.assert_allclose(data, OUTPUTS, rtol=1e-11)
    sum(y * y for row in found for y in row).backward()
    biases = [row[-1].grad for row in itertools.chain(*gru.state.values())]
    np.testing.assert_allclose(biases, BIAS_GRADIENT, rtol=1e-11)


@pytest.mark.process
def test_the_gru_repeats_what_it_hears():
    """Two steps later, without a mistake."""
    printed = printed_by(
        run("gru", "--delay", "2", "--length", "10", "--steps", "1000", "--hidden", "6")
    )
    assert float(re.search(r"([\d.]+)% of the bits", printed)[1]) > 99.0
