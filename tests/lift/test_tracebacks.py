"""Tracebacks of refusals show the user's lines; others hide nothing that is of use."""

import traceback

import numpy as np
import pytest
from stages import values

from liftgrad import Trainer, nn, optim, predict
from liftgrad.errors import LiftError, TraceError
from liftgrad.functional import softmax, take, where
from liftgrad.lift import recovery
from liftgrad.lift.function import lift


def frames_of(call, error):
    """Return the file, function and line of each frame that a call's error shows."""
    with pytest.raises(error) as caught:
        call()
    shown = traceback.extract_tb(caught.value.__traceback__)
    return [(frame.filename, frame.name, frame.line) for frame in shown]


@lift
def branches(p, X):
    """Hide the branch in a method that a layer of ours calls."""
    return nn.Sequential(Branching())(p[0] * X[0])


class Branching(nn.Module):
    """A layer that cannot be lifted."""

    def __call__(self, x):  # noqa: D102
        return x if x > 0 else -x


def test_refusals_show_the_way_through_the_users_code():
    """A refusal's traceback has the user's frames, in calls and in training steps."""
    p, X = values(2), np.ones(3)
    way = ["return nn.Sequential(Branching())(p[0] * X[0])", "return x if x > 0 else -x"]
    trainer = Trainer(branches, optim.SGD(p, lr=0.1))
    for call in (
        lambda: branches(p, X),
        lambda: trainer.run(1, p, X),
        lambda: trainer.fit(1, p, X),
    ):
        shown = frames_of(call, TraceError)
        assert [line for *_, line in shown][-2:] == way
        assert {file for file, *_ in shown} == {__file__}


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (lambda p, X, k: softmax([]), ValueError),
        (lambda p, X, k: take(p, k[0]), IndexError),
        (lambda p, X, k: where(p[0] > 0.0, p[0], "text"), TypeError),
        (lambda p, X, k: object(), LiftError),
        (lambda p: p[0], TypeError),
    ],
    ids=["in the function", "of a number", "of another kind", "of a result", "of arguments"],
)
def test_refusals_of_all_kinds(function, error):
    """That holds for errors of all classes."""
    shown = frames_of(lambda: lift(function)(values(2), np.ones(2), np.array([7])), error)
    assert {file for file, *_ in shown} == {__file__}


def test_refusals_of_a_gradient():
    """That holds for backward(), however deep the refusal arises."""
    both = lift(lambda p: (p[0] * 2.0, p[1] * 2.0))
    p = values(2)
    result, _ = both(p)
    both(p)
    shown = frames_of(result.backward, LiftError)
    assert {file for file, *_ in shown} == {__file__}


def broken(p):
    """Yield some, and fail."""
    yield p[0]
    raise ZeroDivisionError


def test_errors_of_the_users_own_keep_all_their_frames():
    """The frame of Python's library or of ours in which they arose is kept, too."""

    def inner(p):
        return {}[len(p)]

    shown = frames_of(lambda: lift(lambda p: inner(p) + p[0])(values(2)), KeyError)
    assert [name for _, name, _ in shown[-2:]] == ["<lambda>", "inner"]
    assert {file for file, *_ in shown} == {__file__}

    shown = frames_of(lambda: lift(lambda p: np.stack([]))(values(2)), ValueError)
    assert shown[-1][1] == "stack"
    shown = frames_of(lambda: lift(lambda p: softmax(broken(p)))(values(2)), ZeroDivisionError)
    assert [name for _, name, _ in shown[-2:]] == ["<lambda>", "broken"]
    shown = frames_of(lambda: lift(lambda p: take(3, len(p)))(values(2)), TypeError)
    assert [name for _, name, _ in shown[-2:]] == ["<lambda>", "take"]


def test_faults_of_ours_hide_nothing(monkeypatch):
    """An error within liftgrad keeps all frames, to be reported."""
    monkeypatch.setattr(recovery, "roll_scans", None)
    shown = frames_of(lambda: lift(lambda p: p[0])(values(2)), TypeError)
    names = {name for _, name, _ in shown}
    assert {"__call__", "_executable", "rolled_up"} <= names


def test_the_errors_of_prediction_show_one_frame_of_ours():
    """An error of predict() shows where it was raised."""
    shown = frames_of(lambda: predict(Branching(), np.ones(3)), TraceError)
    assert [file == __file__ for file, *_ in shown] == [True, True, False, True]
