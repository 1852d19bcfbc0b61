"""The character transformer: microgpt's numbers, on single numbers and lifted."""

import copy
import os
import random

import numpy as np
import pytest

from liftgrad import Trainer, lift, optim
from liftgrad.gpt import GPT, Alphabet, example, loss, next_token

NAMES = ["anna", "bo", "cedric", "a", "dora", "bernadettealexandra"]


def make_model(words=27, seed=42, **sizes):
    random.seed(seed)
    return GPT(words, **sizes)


def matrices(model):
    """The parameters as arrays, by name."""
    return {
        name: np.array([[p.data for p in row] for row in rows])
        for name, rows in vars(model).items()
        if isinstance(rows, list)
    }


def normalised(x):
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-5)


def scores_by_matrices(model, tokens):
    """The transformer as textbooks write it, with a mask over whole matrices."""
    p, n = matrices(model), len(tokens)
    x = normalised(p["token"][tokens] + p["position"][:n])
    y = normalised(x)
    q, k, v = (
        (y @ p[name].T).reshape(n, model.heads, -1).swapaxes(0, 1)
        for name in ("query", "key", "value")
    )
    meets = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
    meets[:, ~np.tri(n, dtype=bool)] = -np.inf
    weights = np.exp(meets)
    weights /= weights.sum(axis=-1, keepdims=True)
    x = x + (weights @ v).swapaxes(0, 1).reshape(n, -1) @ p["mix"].T
    x = x + np.maximum(normalised(x) @ p["expand"].T, 0) @ p["contract"].T
    return x @ p["head"].T


def test_parameters_are_drawn_as_microgpt_draws_them():
    """4,192 of them, from one stream: tokens, positions, head, then the block's."""
    model = make_model()
    random.seed(42)
    assert [p.data for p in model.parameters()] == [random.gauss(0, 0.08) for _ in range(4192)]
    assert {name: m.shape for name, m in matrices(model).items()} == {
        "token": (27, 16),
        "position": (16, 16),
        "head": (27, 16),
        "query": (16, 16),
        "key": (16, 16),
        "value": (16, 16),
        "mix": (16, 16),
        "expand": (64, 16),
        "contract": (16, 64),
    }


@pytest.mark.parametrize("sizes", [{}, {"width": 6, "heads": 3, "block": 5}])
def test_it_is_a_transformer(sizes):
    """Scores and loss are those of the matrices."""
    model = make_model(9, **sizes)
    for p in model.parameters():
        p.data *= 10.0  # so that nothing is nearly uniform
    tokens = [8, 3, 3, 0, 7, 8]
    scores = scores_by_matrices(model, tokens[:-1])
    got = [[s.data for s in row] for row in model(tokens[:-1])]
    assert np.array(got) == pytest.approx(scores, rel=1e-10, abs=1e-10)
    surprise = np.log(np.exp(scores).sum(axis=1)) - scores[range(5), tokens[1:]]
    assert loss(model, *example(tokens)).data == pytest.approx(surprise.mean(), rel=1e-12)


def test_what_comes_later_is_not_seen():
    """Exactly the same scores, whatever follows."""
    model = make_model()
    one, other = (model([26, 5, token, 1]) for token in (7, 8))
    assert [s.data for s in one[1]] == [s.data for s in other[1]]
    assert [s.data for s in one[2]] != [s.data for s in other[2]]


def test_padding_changes_nothing():
    """Neither the loss nor its gradient."""
    tokens = Alphabet(NAMES).encode("dora")
    gradients = []
    for length in (None, 16):
        model = make_model(len(Alphabet(NAMES)))
        value = loss(model, *example(tokens, length))
        value.backward()
        gradients.append([value.data, *[p.grad for p in model.parameters()]])
    assert gradients[0] == pytest.approx(gradients[1], rel=1e-12, abs=1e-16)


def test_a_long_text_is_cut():
    tokens, weights = example(list(range(30)), length=16)
    assert (tokens, weights) == (list(range(17)), [1 / 16] * 16)


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_lifted_it_trains_as_it_does_eagerly(backend):
    """Names of all lengths, in turn and again, by Adam with a falling rate."""
    alphabet = Alphabet(NAMES)
    model = make_model(len(alphabet), width=8, block=8)
    fresh = copy.deepcopy(model)
    optimizer, plain = (
        optim.Adam(m.parameters(), lr=optim.linear(0.01, 0.0, 20), betas=(0.85, 0.99))
        for m in (model, fresh)
    )
    padded = [example(alphabet.encode(name), 8) for name in NAMES]
    tokens, weights = (np.array(column) for column in zip(*padded, strict=True))
    lifted = lift(backend=backend)(lambda m, tokens, weights: loss(m, tokens[0], weights[0]))
    trainer = Trainer(lifted, optimizer, batch_size=1, shuffle=False)
    got = trainer.run(8, model, tokens, weights).loss

    expected = []
    for step in range(8):
        value = loss(fresh, *example(alphabet.encode(NAMES[step % len(NAMES)])[:9]))
        expected.append(value.data)
        plain.zero_grad()
        value.backward()
        plain.step()
    assert got == pytest.approx(expected, rel=1e-9)


def test_the_next_token():
    """Probabilities at one position, sharpened by the temperature; lifted, the same."""
    model = make_model(5, width=4, heads=2, block=4)
    for p in model.parameters():
        p.data *= 10.0
    tokens = [4, 1, 2, 0]
    scores = scores_by_matrices(model, tokens)[1]
    expected = np.exp(scores / 0.5) / np.exp(scores / 0.5).sum()
    assert [p.data for p in next_token(model, tokens, 1, 0.5)] == pytest.approx(expected, rel=1e-9)
    got = lift(next_token)(model, np.array(tokens), np.array(1), 0.5)
    assert [p.data for p in got] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("sizes", [{"width": 6}, {"heads": 0}, {"block": 0}, {"words": 0}])
def test_impossible_sizes(sizes):
    with pytest.raises(ValueError, match="heads that divide the width"):
        make_model(**sizes)


def test_more_tokens_than_positions():
    with pytest.raises(IndexError):
        make_model(3, width=4, heads=1, block=2)([0, 1, 2])


@pytest.mark.skipif("LIFTGRAD_NAMES" not in os.environ, reason="needs the path of names.txt")
@pytest.mark.parametrize("lifted", [True, False], ids=["lifted", "eager"])
def test_the_published_losses(lifted):
    """microgpt's first four steps, and its last when lifted; to the digits that it prints."""
    with open(os.environ["LIFTGRAD_NAMES"], encoding="utf-8") as file:  # noqa: PTH123
        names = [line.strip() for line in file if line.strip()]
    random.seed(42)
    random.shuffle(names)
    alphabet = Alphabet(names)
    model = GPT(len(alphabet))
    rate = optim.linear(0.01, 0.0, 1000)
    optimizer = optim.Adam(model.parameters(), lr=rate, betas=(0.85, 0.99))
    losses = []
    if lifted:
        padded = [example(alphabet.encode(name), 16) for name in names[:1000]]
        tokens, weights = (np.array(column) for column in zip(*padded, strict=True))
        lifted_loss = lift(lambda m, tokens, weights: loss(m, tokens[0], weights[0]))
        trainer = Trainer(lifted_loss, optimizer, batch_size=1, shuffle=False)
        losses = trainer.run(1000, model, tokens, weights).loss.tolist()
        assert f"{losses[-1]:.4f}" == "2.6497"
    else:
        for name in names[:4]:
            value = loss(model, *example(alphabet.encode(name)))
            losses.append(value.data)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    assert [f"{x:.4f}" for x in losses[:4]] == ["3.3660", "3.4243", "3.1778", "3.0664"]
