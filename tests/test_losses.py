"""The losses, as scalar programs."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from liftgrad import Trainer, lift, losses, optim, vmap
from liftgrad.data import make_moons
from liftgrad.engine import Value
from liftgrad.functional import dot, log_softmax, mean, total, where
from liftgrad.gradcheck import gradcheck
from liftgrad.losses import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    hinge,
    huber_loss,
    l1,
    l1_loss,
    l2,
    mse_loss,
    multi_margin_loss,
    nll_loss,
)
from liftgrad.nn import MLP

TORCH = json.loads((Path(__file__).parent / "reference" / "losses.json").read_text("utf-8"))
BACKENDS = ["native", "numpy"]


def all_cases(test):
    cases = pytest.mark.parametrize(
        "case", TORCH["cases"], ids=lambda c: f"{c['name']}{c['arguments']}"
    )
    return cases(pytest.mark.parametrize("reduction", ["mean", "sum", "none"])(test))


def to_values(numbers):
    return [to_values(x) if isinstance(x, list) else Value(x) for x in numbers]


def gradients(values):
    return [gradients(x) if isinstance(x, list) else x.grad for x in values]


def check(case, reduction, loss, values):
    """Compare a loss, or the list of them, and its gradient with PyTorch's."""
    expected = case["figures"][reduction]
    if reduction == "none":
        assert [x.data for x in loss] == pytest.approx(expected["loss"], rel=1e-11, abs=1e-12)
        loss = dot(TORCH["weights"][: len(loss)], loss)
    else:
        assert loss.data == pytest.approx(expected["loss"], rel=1e-11, abs=1e-12)
    loss.backward()
    assert np.array(gradients(values)) == pytest.approx(
        np.array(expected["gradient"]), rel=1e-11, abs=1e-14
    )


@all_cases
def test_values_and_gradients_are_pytorchs(case, reduction):
    """For each reduction, at kinks, and where exponentials would overflow."""
    predictions, targets = case["inputs"]
    values = to_values(predictions)
    loss = getattr(losses, case["name"])(values, targets, reduction=reduction, **case["arguments"])
    check(case, reduction, loss, values)


@pytest.mark.parametrize("backend", BACKENDS)
@all_cases
def test_lifted_values_and_gradients_are_pytorchs(case, reduction, backend):
    """With targets in an array, so that classes are indices known only at run time."""
    function, arguments = getattr(losses, case["name"]), case["arguments"]

    @lift(backend=backend)
    def lifted(predictions, targets):
        return function(predictions, targets, reduction=reduction, **arguments)

    predictions, targets = case["inputs"]
    values = to_values(predictions)
    check(case, reduction, lifted(values, np.array(targets)), values)


@all_cases
def test_floats_have_the_losses_of_values(case, reduction):
    """And arrays, and NumPy's integers; the results are floats."""
    predictions, targets = case["inputs"]
    expected = case["figures"][reduction]["loss"]
    function, arguments = getattr(losses, case["name"]), case["arguments"]
    for x, y in [(predictions, targets), (np.array(predictions), np.array(targets))]:
        got = function(x, y, reduction=reduction, **arguments)
        assert got == pytest.approx(expected, rel=1e-11, abs=1e-12)
        assert isinstance(got, list | float)


@all_cases
def test_one_sample(case, reduction):
    """A number with its target, or a row with its class, has its own loss in each reduction."""
    (first, *_), (target, *_) = case["inputs"]
    if reduction == "mean" and case["arguments"].keys() & {"weight", "ignore_index"}:
        with pytest.raises(ValueError, match=r'mean by weight is its loss.* reduction="sum"'):
            getattr(losses, case["name"])(first, target, **case["arguments"])
        return
    got = getattr(losses, case["name"])(first, target, reduction, **case["arguments"])
    assert got == pytest.approx(case["figures"]["none"]["loss"][0], rel=1e-11)


@pytest.mark.parametrize("backend", [None, *BACKENDS])
@pytest.mark.parametrize(
    "case", [c for c in TORCH["cases"] if c["name"] in {"cross_entropy", "nll_loss"}], ids=str
)
def test_mapped_over_samples_they_have_pytorchs_mean(case, backend):
    """Each row's weighted loss, divided by the weights of the rows that count."""
    function, arguments = getattr(losses, case["name"]), case["arguments"]
    ignored = arguments.get("ignore_index", -1)
    weight = [*arguments.get("weight", [1.0] * 4)]

    def loss(bias, rows, targets):
        each = vmap(lambda r, t: function([x + bias for x in r], t, "sum", **arguments))
        counts = vmap(
            lambda t: where(
                t == ignored, 0.0, total([where(t == i, w, 0.0) for i, w in enumerate(weight)])
            )
        )
        return total(each(rows, targets)) / total(counts(targets))

    rows, targets = map(np.array, case["inputs"])
    lifted = loss if backend is None else lift(backend=backend)(loss)
    got = lifted(Value(0.0), rows, targets)
    assert got.data == pytest.approx(case["figures"]["mean"]["loss"], rel=1e-11)


@pytest.mark.parametrize("backend", [None, *BACKENDS])
def test_places_in_a_row_have_weights_of_their_own(backend):
    """As for outputs that are labels each, some of them rare."""
    rows = TORCH["rows"]

    def loss(scores, targets):
        return binary_cross_entropy_with_logits(scores, targets, pos_weight=rows["pos_weight"])

    scores = to_values(rows["scores"])
    got = (loss if backend is None else lift(backend=backend)(loss))(scores, rows["targets"])
    got.backward()
    assert got.data == pytest.approx(rows["loss"], rel=1e-13)
    assert np.array(gradients(scores)) == pytest.approx(np.array(rows["gradient"]), rel=1e-12)


@pytest.mark.parametrize("backend", [None, *BACKENDS])
@pytest.mark.parametrize("pos_weight", [None, 0.5])
def test_the_right_answer_for_sure_costs_nothing(pos_weight, backend):
    """Whichever class it is; the wrong one has an infinite loss, and a score that is nan is nan."""
    inf = math.inf
    cases = [(-inf, 0.0, 0.0), (inf, 1.0, 0.0), (inf, 0.0, inf), (-inf, 1.0, inf), (inf, 0.5, inf)]

    def loss(score, target):
        return binary_cross_entropy_with_logits(score, target, pos_weight=pos_weight)

    function = loss if backend is None else lift(backend=backend)(loss)
    for score, target, expected in cases:
        value = Value(score)
        got = function(value, target)
        got.backward()
        assert got.data == expected
        if not expected:
            assert value.grad == 0.0
    assert math.isnan(function(Value(math.nan), 1.0).data)


@pytest.mark.parametrize("backend", [None, *BACKENDS])
def test_a_class_of_no_weight_costs_nothing(backend):
    """Also where its score is -inf, as of one that is masked."""

    def loss(row, target):
        return cross_entropy([row], [target], "sum", weight=[1.0, 0.0, 2.0], label_smoothing=0.5)

    row = to_values([0.0, -math.inf, 0.0])
    got = (loss if backend is None else lift(backend=backend)(loss))(row, 0)
    got.backward()
    assert got.data == pytest.approx(math.log(2.0) * (0.5 * 1.0 + 0.5 * (1.0 + 2.0) / 3.0))
    assert gradients(row)[1] == 0.0


@pytest.mark.parametrize("pos_weight", [None, 2.5])
def test_the_cross_entropys_derivatives_are_right_everywhere(pos_weight):
    """With respect to scores, targets and the weight, also at a score of 0."""

    def loss(x):
        weight = None if pos_weight is None else x[2]
        return binary_cross_entropy_with_logits(x[0], x[1], pos_weight=weight)

    for score in (0.0, 1.5, -2.0):
        for target in (0.0, 0.25, 1.0):
            assert gradcheck(loss, [score, target, pos_weight or 1.0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_target_out_of_range_is_no_row_to_ignore(backend):
    """If it is known only at run time, it makes the loss nan."""
    function = lift(backend=backend)(lambda r, t: cross_entropy([r], t, "sum", ignore_index=-1))
    row = to_values([0.5, 1.5])
    costs = [function(row, np.array([target])).data for target in (-1, 1, -2, 2)]
    assert costs[:2] == pytest.approx([0.0, cross_entropy([0.5, 1.5], 1)])
    assert np.isnan(costs[2:]).all()
    with pytest.raises(IndexError, match="take"):
        cross_entropy([0.5, 1.5], 2, "sum", ignore_index=-1)


def test_a_mean_of_no_rows_that_count_is_nan():
    """As in PyTorch; and a row that does not count is a Value all the same."""
    row = to_values([1.0, 2.0])
    assert math.isnan(cross_entropy([row, row], [5, 5], ignore_index=5).data)
    assert math.isnan(cross_entropy([[1.0, 2.0]], [5], ignore_index=5))
    (one,) = cross_entropy([row], [5], "none", ignore_index=5)
    one.backward()
    assert (one.data, gradients(row)) == (0.0, [0.0, 0.0])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "function",
    [
        cross_entropy,
        multi_margin_loss,
        lambda row, y: nll_loss(log_softmax(row), y),
        lambda row, y: cross_entropy(row, y, label_smoothing=0.2),
    ],
    ids=["cross_entropy", "multi_margin_loss", "nll_loss", "smoothed"],
)
def test_a_classifier_learns_lifted_as_eagerly(function, backend):
    """One sample is traced for all; its class is an index that differs by sample and batch."""
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(24, 2)), rng.integers(0, 3, 24)

    def loss(model, X, y):
        return mean(vmap(lambda x, c: function(model(x), c))(X, y))

    models = [MLP(2, [5, 3], activation="tanh") for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    trainer = Trainer(lift(backend=backend)(loss), optim.AdamW(models[0].parameters(), lr=0.05))
    got = trainer.run(12, models[0], X, y).loss
    plain = optim.AdamW(models[1].parameters(), lr=0.05)
    expected = []
    for _ in range(12):
        total = loss(models[1], X, y)
        expected.append(total.data)
        plain.zero_grad()
        total.backward()
        plain.step()
    assert got == pytest.approx(expected, rel=1e-10)
    assert got[-1] < got[0]


def test_nested_lists_are_one_long_list():
    """With "none", the losses have the shape of the predictions."""
    rows, targets = [[1.0, 2.0], [3.0, 4.0]], [[1.0, 1.0], [1.0, 1.0]]
    assert mse_loss(rows, targets) == 14.0 / 4.0
    assert mse_loss(np.array(rows), np.array(targets), reduction="sum") == 14.0
    assert mse_loss(rows, targets, reduction="none") == [[0.0, 1.0], [4.0, 9.0]]
    assert l1_loss([], [], reduction="sum") == 0.0


def test_settings_of_float32_leave_floats_in_float64():
    """A NumPy number would silently convert all others."""
    some = np.float32(0.25)
    for got, expected in (
        (
            cross_entropy([0.1, 0.7], 1, label_smoothing=some),
            cross_entropy([0.1, 0.7], 1, "mean", 0.25),
        ),
        (
            multi_margin_loss([0.1, 0.7], 0, margin=some),
            multi_margin_loss([0.1, 0.7], 0, "mean", 0.25),
        ),
        (huber_loss([0.1], [0.7], delta=some), huber_loss([0.1], [0.7], "mean", 0.25)),
        (l1([0.1, 0.7], some), l1([0.1, 0.7], 0.25)),
        (l2([0.1, 0.7], some), l2([0.1, 0.7], 0.25)),
    ):
        assert (type(got), got) == (float, expected)


def test_small_integers_do_not_wrap_around():
    """Images have bytes, in which 1 - 2 is 255."""
    assert mse_loss(np.array([1], np.uint8), np.array([2], np.uint8)) == 1.0


def test_confident_scores_keep_their_digits():
    """The loss of a score of 50 for the right class is exp(-50), not a difference of fifties."""
    for score, target in [(50.0, 1.0), (-50.0, 0.0)]:
        value = Value(score)
        loss = binary_cross_entropy_with_logits(value, target)
        assert loss.data == pytest.approx(math.log1p(math.exp(-50.0)), rel=1e-14)
        loss.backward()
        assert abs(value.grad) == pytest.approx(math.exp(-50.0), rel=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_large_scores_keep_their_digits(smoothing, backend):
    """In float32 too, the loss of scores around 1,000,000 is that of their differences."""
    lifted = lift(dtype="float32", backend=backend)(
        lambda row, target: cross_entropy(row, target, label_smoothing=smoothing)
    )
    expected = cross_entropy([0.0, 1.5, -2.0], 2, label_smoothing=smoothing)
    assert cross_entropy([1e6, 1e6 + 1.5, 1e6 - 2.0], 2, label_smoothing=smoothing) == expected
    row = to_values([1e6, 1e6 + 1.5, 1e6 - 2.0])
    assert lifted(row, 2).data == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("backend", [None, *BACKENDS])
def test_a_prediction_that_is_nan_shows_in_the_gradient(backend):
    """A derivative of 0 would hide it."""
    loss = huber_loss if backend is None else lift(backend=backend)(huber_loss)
    predictions = [Value(math.nan), Value(3.0)]
    loss(predictions, [0.0, 0.0]).backward()
    assert predictions[0].grad == pytest.approx(math.nan, nan_ok=True)
    assert predictions[1].grad == 0.5


def test_impossible_classes_cost_infinitely_much():
    """A score of -inf for another class adds nothing to the loss; for the right one, infinity."""
    assert cross_entropy([-math.inf, 0.0, 0.0], 1) == pytest.approx(math.log(2.0))
    assert cross_entropy([-math.inf, 0.0, 0.0], 0) == math.inf
    assert multi_margin_loss([-math.inf, 0.0, 0.0], 1) == pytest.approx(1.0 / 3.0)
    assert math.isnan(multi_margin_loss([math.inf, 0.0, 0.0], 0))
    assert huber_loss(math.inf, 0.0) == math.inf


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_smoothing_known_at_run_time_only(backend):
    """An impossible other class then adds nothing, and infinity with smoothing."""
    loss = lift(backend=backend)(
        lambda row, target, smoothing: cross_entropy(row, target, label_smoothing=smoothing)
    )
    row = to_values([-math.inf, 0.0, 0.0])
    total = loss(row, 1, 0.0)
    total.backward()
    assert total.data == pytest.approx(math.log(2.0))
    assert gradients(row) == pytest.approx([0.0, -0.5, 0.5])
    assert loss(row, 1, 0.1).data == math.inf


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("impossible", [-math.inf, math.inf])
def test_smoothing_by_weights_known_at_run_time_only(impossible, backend):
    """Without smoothing it is the loss without it, whatever another class's score is."""
    weight = [1.0, 2.0, 3.0]

    def loss(rows, smoothing):
        return cross_entropy(rows, [1, 2], "sum", smoothing, weight=weight)

    rows = [to_values([impossible, 0.0, 0.0]), to_values([1.0, 2.0, 3.0])]
    expected = cross_entropy([[x.data for x in row] for row in rows], [1, 2], "sum", weight=weight)
    assert lift(backend=backend)(loss)(rows, 0.0).data == pytest.approx(expected)


def test_the_derivative_by_the_smoothing():
    """At 0 it is not that of no smoothing."""
    scores = [0.3, -0.8, 2.5]
    assert gradcheck(lambda x: cross_entropy(scores, 1, label_smoothing=x[0]), [0.3])
    smoothing = Value(0.0)
    cross_entropy(scores, 1, label_smoothing=smoothing).backward()
    assert smoothing.grad == pytest.approx(-0.8 - sum(scores) / 3)


def test_l1_is_the_sum_of_sizes():
    """Times the factor; with PyTorch's derivative at 0."""
    assert l1([1.0, -2.0]) == pytest.approx(3e-4)
    weights = [Value(3.0), Value(-2.0), Value(0.0)]
    l1(weights, factor=0.5).backward()
    assert [w.grad for w in weights] == [0.5, -0.5, 0.0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_penalties_lifted(backend):
    """Both in one loss, beside the gradient of the eager engine."""
    models = [MLP(2, [3, 1]) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())

    def loss(model):
        return l1(model.parameters(), 0.1) + l2(model.parameters(), 0.2)

    got, expected = lift(backend=backend)(loss)(models[0]), loss(models[1])
    assert got.data == pytest.approx(expected.data, rel=1e-14)
    got.backward()
    expected.backward()
    assert [p.grad for p in models[0].parameters()] == pytest.approx(
        [p.grad for p in models[1].parameters()], rel=1e-14
    )


def test_hinge_asks_for_a_margin_of_one():
    """Beyond it the loss is 0; inside it or on the wrong side it is linear."""
    assert hinge([1.0], [1.0]) == 0.0
    assert hinge([-5.0], [-1.0]) == 0.0
    assert hinge([0.25], [1.0]) == 0.75
    assert hinge([2.0], [-1.0]) == hinge(2.0, -1.0) == 3.0
    assert hinge([1.0, -5.0, 0.25, 2.0], [1.0, -1.0, 1.0, -1.0]) == (0.75 + 3.0) / 4


def test_hinge_takes_arrays_as_targets():
    """Values times NumPy's numbers are Values."""
    X, y = make_moons(10, seed=0)
    model = MLP(2, [1])
    loss = hinge([model(x) for x in X], y)
    assert isinstance(loss, Value)
    assert loss.data == hinge([model(x).data for x in X], y.tolist())


def test_l2_is_the_sum_of_squares():
    """Times the factor; micrograd's by default."""
    assert l2([1.0, -2.0]) == 5e-4
    weight = Value(3.0)
    l2([weight], factor=0.5).backward()
    assert weight.grad == 3.0


def test_the_gradients_are_right():
    """Of a whole loss, at points off the kinks."""
    scores = [0.3, -0.8, 2.5, -1.7]
    assert gradcheck(lambda s: hinge(s, [1.0, 1.0, -1.0, -1.0]), scores)
    assert gradcheck(lambda p: l2(p, 0.3), scores)
    assert gradcheck(lambda p: l1(p, 0.3), scores)
    assert gradcheck(lambda s: cross_entropy(s, 2, label_smoothing=0.3), scores)


def test_scores_and_targets_pair_up():
    """Too few targets, or nothing at all, is an error of one sentence."""
    with pytest.raises(ValueError, match=r"^hinge needs a target for each score; got 2 scores"):
        hinge([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="no numbers"):
        hinge([], [])


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: mse_loss([1.0], [1.0], "max"), ValueError, "reduction is 'mean', 'sum' or 'none'"),
        (lambda: mse_loss(1.0, 1.0, "max"), ValueError, "reduction is 'mean', 'sum' or 'none'"),
        (lambda: mse_loss([1.0], 1.0), ValueError, "mse_loss needs a target for each score; one"),
        (lambda: mse_loss([[1.0], [2.0]], [1.0, 2.0]), ValueError, "mse_loss needs a target"),
        (lambda: mse_loss([1.0], None), TypeError, "mse_loss takes numbers or lists of numbers"),
        (lambda: mse_loss(["a"], ["b"]), TypeError, "mse_loss takes numbers or lists of numbers"),
        (lambda: cross_entropy([[1.0, "a"]], [0]), TypeError, "a Value is a number, and 'a' is"),
        (lambda: mse_loss([], []), ValueError, "mean of no numbers"),
        (lambda: mse_loss([1.0], [1.0], [2.0]), ValueError, "reduction is 'mean', 'sum' or 'non"),
        (lambda: hinge([0.5], [0]), ValueError, "hinge takes targets of 1.0 and -1.0, and this"),
        (
            lambda: cross_entropy([[1.0, 2.0]], [0], weight=[1.0]),
            ValueError,
            "cross_entropy takes a weight for each class; got 1 weights for rows of 2",
        ),
        (lambda: nll_loss([[1.0]], [0], weight=1.0), TypeError, "nll_loss takes a weight for each"),
        (
            lambda: nll_loss([[1.0]], [0], ignore_index=0.5),
            TypeError,
            "ignore_index is an integer or None; got",
        ),
        (
            lambda: binary_cross_entropy_with_logits([1.0], [1.0], pos_weight=[1.0, 2.0]),
            ValueError,
            "binary_cross_entropy_with_logits takes one pos_weight, or one for each score",
        ),
        (
            lambda: binary_cross_entropy_with_logits(1.0, 1.0, pos_weight=[1.0]),
            ValueError,
            "binary_cross_entropy_with_logits takes one pos_weight, or one for each score",
        ),
        (lambda: huber_loss([1.0], [1.0], delta=0.0), ValueError, "huber_loss needs a delta above"),
        (
            lambda: cross_entropy([[1.0]], [0, 0]),
            ValueError,
            "cross_entropy needs a target for each",
        ),
        (lambda: cross_entropy([1.0, 2.0], [0, 0]), ValueError, "cross_entropy takes a row of"),
        (lambda: cross_entropy(1.0, 0), ValueError, "cross_entropy takes a row of numbers"),
        (
            lambda: cross_entropy([1.0], 1.0),
            TypeError,
            "cross_entropy takes the indices of classes",
        ),
        (lambda: cross_entropy([1.0, 2.0], 2), IndexError, "take() at index 2 of a table of 2"),
        (lambda: cross_entropy([1.0, 2.0], -1), IndexError, "take() at index -1 of a table of 2"),
        (
            lambda: cross_entropy([1.0], 0, label_smoothing=2.0),
            ValueError,
            "label_smoothing is from",
        ),
    ],
)
def test_impossible_arguments(make, kind, message):
    """One sentence says what would be possible."""
    with pytest.raises(kind, match=f"^{re.escape(message)}"):
        make()


def test_numbers_as_classes_in_a_lifted_function():
    """Are refused as they are eagerly."""
    lifted = lift(cross_entropy)
    with pytest.raises(TypeError, match="takes the indices of classes as targets"):
        lifted([Value(1.0), Value(2.0)], 1.0)


def test_settings_that_are_values_keep_their_gradient():
    """And numbers of NumPy's are as Python's."""
    w, factor = Value(3.0), Value(0.5)
    losses.l2([w], factor).backward()
    assert (w.grad, factor.grad) == (3.0, 9.0)
    margin = Value(1.0)
    losses.multi_margin_loss([Value(0.0), Value(0.5)], 1, margin=margin).backward()
    assert margin.grad == 0.5
    assert losses.l1([np.float32(3.0)], np.float32(0.1)) == 3.0 * float(np.float32(0.1))


@pytest.mark.parametrize("weight", [{0: 1.0, 1: 2.0}, "balanced", {1.0, 2.0}])
def test_weights_by_name_are_refused(weight):
    """Of a dictionary, as in scikit-learn, the keys would be the weights."""
    with pytest.raises(TypeError, match="takes a weight for each class, as a list; got weight="):
        losses.cross_entropy([[1.0, 2.0]], [0], weight=weight)
    with pytest.raises(TypeError, match="takes a weight for each class, as a list; got weight="):
        losses.nll_loss([[1.0, 2.0]], [0], weight=weight)
    with pytest.raises(TypeError, match="takes pos_weight as a number or a list; got"):
        losses.binary_cross_entropy_with_logits([1.0, 2.0], [0.0, 1.0], pos_weight=weight)
