"""The layers of `liftgrad.nn` give PyTorch's numbers, eager and lifted."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from liftgrad import Value, functional, gradcheck, lift, nn, vmap

CASES = json.loads(
    (Path(__file__).parent / "reference" / "layers.json").read_text(encoding="utf-8")
)["cases"]
IDS = [f"{i}-{case['name']}" for i, case in enumerate(CASES)]


@pytest.fixture(autouse=True)
def _seed():
    random.seed(7)


def pairs(arguments):
    return [tuple(a) if isinstance(a, list) else a for a in arguments]


def made(case):
    """The layer of a case with its parameters."""
    options = dict(zip(case["options"], pairs(case["options"].values()), strict=True))
    layer = getattr(nn, case["name"])(*pairs(case["arguments"]), **options)
    layer.load_state_dict(case["state"])
    return layer


def numbers(x):
    """The numbers in nested lists and tuples, in one list."""
    if isinstance(x, list | tuple):
        return [number for item in x for number in numbers(item)]
    return [x]


def nested(function, x):
    return [nested(function, item) for item in x] if isinstance(x, list) else function(x)


def weighted(layer, x, weights):
    """The sum of a layer's outputs, each times its weight."""
    return functional.dot(numbers(layer(x)), weights)


def gradients_of(layer, case):
    """The gradients of a layer's parameters in the order of the case's."""
    named = dict(layer.named_parameters())

    def places(x, name):
        if isinstance(x, list):
            return [p for i, item in enumerate(x) for p in places(item, f"{name}.{i}")]
        return [named[name].grad]

    return [g for name, x in case["gradients"].items() for g in places(x, name)]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_values_and_gradients_are_pytorchs(case):
    """With the same input and parameters, with PyTorch's names and layout."""
    layer = made(case)
    state = layer.state_dict()
    assert {name: x.tolist() for name, x in state.items()} == case["state"]
    x = case["x"] if case["x gradient"] is None else nested(Value, case["x"])
    outputs = numbers(layer(x))
    expected = numbers(case["outputs"])
    assert [y.data for y in outputs] == pytest.approx(expected, rel=1e-10, abs=1e-12)
    functional.dot(outputs, numbers(case["weights"])).backward()
    assert gradients_of(layer, case) == pytest.approx(
        numbers(list(case["gradients"].values())), rel=1e-10, abs=1e-11
    )
    if case["x gradient"] is not None:
        assert numbers(nested(lambda v: v.grad, x)) == pytest.approx(
            numbers(case["x gradient"]), rel=1e-10, abs=1e-11
        )


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_lifted_layers_agree_with_eager_ones(case):
    """The value and all gradients, also those of the input, for the same parameters."""
    eager, lifted = made(case), made(case)
    as_input = case["x gradient"] is None
    x = np.array(case["x"]) if as_input else nested(Value, case["x"])
    x2 = x if as_input else nested(Value, case["x"])
    weights = numbers(case["weights"])
    a = weighted(eager, x.tolist() if as_input else x, weights)
    b = lift(weighted)(lifted, x2, weights)
    a.backward()
    b.backward()
    assert b.data == pytest.approx(a.data, rel=1e-12, abs=1e-12)
    assert gradients_of(lifted, case) == pytest.approx(
        gradients_of(eager, case), rel=1e-12, abs=1e-12
    )
    if not as_input:
        assert [v.grad for v in numbers(x2)] == pytest.approx(
            [v.grad for v in numbers(x)], rel=1e-12, abs=1e-12
        )


BATCHED = [
    (lambda: nn.Linear(3, 2), (3,)),
    (lambda: nn.Sequential(nn.LayerNorm(3), nn.RMSNorm(3), nn.Linear(3, 2)), (4, 3)),
    (lambda: nn.LSTM(3, 2), (4, 3)),
    (lambda: nn.GRU(3, 2), (4, 3)),
    (lambda: nn.RNN(3, 2, num_layers=2), (4, 3)),
    (lambda: nn.TransformerBlock(4, 2), (3, 4)),
    (
        lambda: nn.Sequential(
            *(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(8, 3), nn.LogSoftmax()),
        ),
        (1, 4, 5),
    ),
]


@pytest.mark.parametrize(
    ("make", "shape"), BATCHED, ids=lambda x: str(x) if isinstance(x, tuple) else ""
)
def test_a_batch_is_a_vmap_over_samples(make, shape):
    """One traced sample, or a Python loop over all: the same values and gradients."""
    model = make()
    X = np.random.default_rng(0).normal(size=(3, *shape))

    def loss(model, X):
        squares = vmap(lambda x: functional.total([y * y for y in numbers(model(x))]))
        return functional.mean(squares(X))

    eager = loss(model, X)
    eager.backward()
    expected = [p.grad for p in model.parameters()]
    model.zero_grad()
    lifted = lift(loss)
    value = lifted(model, X)
    value.backward()
    assert value.data == pytest.approx(eager.data, rel=1e-12)
    assert [p.grad for p in model.parameters()] == pytest.approx(expected, rel=1e-12, abs=1e-13)


@pytest.mark.parametrize(
    ("make", "shape", "most"),
    [
        (lambda: nn.TransformerBlock(8, 2), (6, 8), 94),
        (lambda: nn.RNN(3, 8), (6, 3), 36),
        (lambda: nn.LSTM(3, 8), (6, 3), 96),
        (lambda: nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU()), (1, 8, 8), 14),
        (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.MaxPool2d(2)), (2, 8, 8), 21),
    ],
)
def test_layers_roll_up(make, shape, most):
    """Of any size, into few tensor operations, gradients included.

    Products with padding or with a first state of 0 would be operations of another kind, and all
    that follows them, too: three times as many for the padded convolution.
    """
    square = lift(backend="numpy")(
        lambda model, X: functional.total(
            vmap(lambda x: functional.total([y * y for y in numbers(model(x))]))(X)
        )
    )
    square(make(), np.ones((2, *shape)))
    assert most / 2 < square.stats.tensor_operations <= most


def test_an_embedding_takes_indices_known_at_run_time():
    """Integer arrays are indices in lifted functions; other tokens need no other program."""
    layer = nn.Embedding(5, 2)
    looked = lift(lambda layer, tokens: vmap(layer)(tokens))
    for tokens in ([[0, 4]], [[3, 3]]):
        rows = [[x.data for x in layer.weight[token]] for token in tokens[0]]
        result = [[x[0] for x in row] for row in looked(layer, np.array(tokens))]
        assert result == rows
    assert looked.stats.traces == 1
    with pytest.raises(IndexError, match=r"index 5 of a table of 5"):
        layer([0, 5])


@pytest.mark.parametrize(
    ("make", "scale"),
    [
        (lambda: nn.Linear(50, 40), 1 / 50),
        (lambda: nn.Conv2d(6, 8, (3, 5), groups=2), 1 / 45),
        (lambda: nn.LSTM(30, 20), 1 / 20),
        (lambda: nn.GRU(30, 20, num_layers=2), 1 / 20),
        (lambda: nn.RNN(30, 20), 1 / 20),
    ],
)
def test_initial_weights_and_biases_are_uniform_as_pytorchs(make, scale):
    """Between ±1/√(inputs of a neuron), for recurrent layers ±1/√(neurons)."""
    drawn = np.concatenate([x.reshape(-1) for x in make().state_dict().values()])
    assert np.abs(drawn).max() == pytest.approx(scale**0.5, rel=0.02)
    assert np.abs(drawn).max() <= scale**0.5
    assert drawn.var() == pytest.approx(scale / 3, rel=0.15)


def test_other_initial_parameters_are_pytorchs():
    """N(0, 1) embeddings; norms that change nothing; Glorot's projections without biases."""
    assert np.std(nn.Embedding(50, 40).state_dict()["weight"]) == pytest.approx(1.0, abs=0.05)
    assert set(nn.LayerNorm(3).state_dict()["weight"]) == {1.0}
    assert set(nn.LayerNorm(3).state_dict()["bias"]) == {0.0}
    assert set(nn.RMSNorm(3).state_dict()["weight"]) == {1.0}
    state = nn.CausalSelfAttention(16, 4).state_dict()
    bound = (6 / (16 + 48)) ** 0.5
    assert 0.97 * bound < np.abs(state["in_proj_weight"]).max() <= bound
    assert not state["in_proj_bias"].any()
    assert not state["out_proj.bias"].any()
    assert 0.95 / 4 < np.abs(state["out_proj.weight"]).max() <= 1 / 4


def test_equal_numbers_pool_to_the_first_of_them():
    """It gets all of the gradient, as in PyTorch; nan is larger than any number."""
    x = [[[Value(1.0), Value(2.0)], [Value(2.0), Value(2.0)]]]
    pooled = nn.MaxPool2d(2)(x)
    pooled[0][0][0].backward()
    assert [v.grad for row in x[0] for v in row] == [0.0, 1.0, 0.0, 0.0]
    nan = float("nan")
    for window in ([nan, 1.0, 2.0, 3.0], [1.0, nan, 2.0, 3.0], [1.0, 2.0, 3.0, nan]):
        assert np.isnan(nn.MaxPool2d(2)([[window[:2], window[2:]]])[0][0][0])


def same(a, b):
    """Whether two nests hold the same numbers."""
    return [v.data for v in numbers(a)] == [v.data for v in numbers(b)]


def test_recurrent_layers_go_on_from_a_state():
    """A sequence in two parts, the second from the first's final state, equals the whole one."""
    x = np.random.default_rng(0).normal(size=(5, 3)).tolist()
    for layer in (nn.RNN(3, 2, num_layers=2), nn.GRU(3, 2), nn.LSTM(3, 2, num_layers=2)):
        outputs, last = layer(x)
        begun, state = layer(x[:2])
        rest, last2 = layer(x[2:], state)
        assert same([*begun, *rest], outputs)
        assert same(last2, last)


def test_dropout_in_a_block_is_where_pytorchs_is():
    """In attention's weights, hidden neurons and residuals: that many numbers are drawn."""
    block = nn.TransformerBlock(4, 2, 8, dropout=0.5)
    random.seed(3)
    block(np.ones((3, 4)).tolist())
    after = random.random()
    random.seed(3)
    for _ in range(2 * (1 + 2 + 3) + 3 * 4 + 3 * 8 + 3 * 4):
        random.random()
    assert random.random() == after


def test_a_sequential_is_a_list_of_modules():
    """By index, length and order; with given names; and after train() and eval()."""
    first, second = nn.Linear(2, 3), nn.Tanh()
    model = nn.Sequential(first, second).eval()
    assert (len(model), list(model), model[0], model[-1]) == (2, [first, second], first, second)
    named = nn.Sequential({"body": first, "act": second})
    assert list(named.state_dict()) == ["body.weight", "body.bias"]
    assert [y.data for y in named([1.0, 2.0])] == [y.data for y in model([1.0, 2.0])]
    assert nn.Sequential()([1.0]) == [1.0]
    with pytest.raises(TypeError, match=r"as 1; pass Modules, such as nn\.ReLU\(\)"):
        nn.Sequential(first, functional.tanh)


def test_layers_print_as_pytorchs():
    """With their arguments, as torch prints these."""
    assert [
        repr(layer)
        for layer in (
            nn.Linear(2, 3, bias=False),
            nn.Embedding(5, 2),
            nn.LayerNorm(4),
            nn.RMSNorm(4, eps=0.1),
            nn.Conv2d(2, 4, 3, padding=1, groups=2, bias=False),
            nn.MaxPool2d(2),
            nn.LSTM(3, 2, num_layers=2),
            nn.GRU(3, 2, bias=False),
            nn.Dropout(0.1),
            nn.LeakyReLU(),
            nn.ELU(),
        )
    ] == [
        "Linear(in_features=2, out_features=3, bias=False)",
        "Embedding(5, 2)",
        "LayerNorm(4, eps=1e-05, elementwise_affine=True)",
        "RMSNorm(4, eps=0.1, elementwise_affine=True)",
        "Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), groups=2, bias=False)",
        "MaxPool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0))",
        "LSTM(3, 2, num_layers=2)",
        "GRU(3, 2, bias=False)",
        "Dropout(p=0.1)",
        "LeakyReLU(negative_slope=0.01)",
        "ELU(alpha=1.0)",
    ]
    assert repr(nn.TransformerBlock(4, 2)).splitlines()[:4] == [
        "TransformerBlock(",
        "  (self_attn): CausalSelfAttention(",
        "    4, num_heads=2",
        "    (out_proj): Linear(in_features=4, out_features=4, bias=True)",
    ]


@pytest.mark.parametrize("backend", [None, "native", "numpy"])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_window_of_padding_only_gives_a_value(frozen, backend):
    """It is 0 and has the methods of the other outputs; weights may be plain numbers."""
    layer = nn.Conv2d(1, 1, 1, padding=1, bias=False)
    layer.weight = [[[[3.0 if frozen else Value(3.0)]]]]

    def loss(model, pixel):
        return functional.total(
            [(x - 1.0).relu() + x.exp() for row in model([[[pixel]]])[0] for x in row]
        )

    pixel = Value(0.5)
    got = (loss if backend is None else lift(backend=backend)(loss))(layer, pixel)
    got.backward()
    assert got.data == pytest.approx(8.0 + 0.5 + np.exp(1.5))
    assert pixel.grad == pytest.approx(3.0 + 3.0 * np.exp(1.5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Linear(0, 1), "cannot have 0 inputs; pass 1 or more"),
        (lambda: nn.Linear(2, 1)([1.0]), r"Linear\(2, 1\) takes 2 numbers and got 1; pass 2"),
        (lambda: nn.Embedding(3, 0), "cannot have 0 numbers in an embedding"),
        (lambda: nn.LayerNorm(3)([1.0]), "LayerNorm takes 3 numbers and got 1; pass 3"),
        (lambda: nn.RMSNorm(3)([1.0]), "RMSNorm takes 3 numbers and got 1; pass 3"),
        (lambda: nn.Conv2d(3, 4, 2, groups=2), "2 groups do not divide 3 and 4 channels"),
        (lambda: nn.Conv2d(1, 1, 0), "cannot have 0 rows or columns in a window"),
        (lambda: nn.Conv2d(1, 1, 2, padding=-1), "-1 pixels of padding; pass 0 or more"),
        (lambda: nn.Conv2d(2, 1, 1)([[[1.0]]]), "Conv2d takes 2 channels and got 1"),
        (lambda: nn.Conv2d(1, 1, 2)([[[1.0]]]), "of 1 rows and 1 columns, .* a window of 2 by 2"),
        (lambda: nn.MaxPool2d(2, padding=2), "more than half of a window"),
        (lambda: nn.RNN(2, 2, nonlinearity="cos"), "no nonlinearity called 'cos'; choose from"),
        (lambda: nn.LSTM(2, 0), "cannot have 0 neurons"),
        (lambda: nn.GRU(2, 3)([[1.0, 2.0]], [[0.0]]), r"GRU starts from h_0 of shape \(1, 3\)"),
        (lambda: nn.CausalSelfAttention(4, 3), "3 heads do not divide 4 numbers"),
        (lambda: nn.CausalSelfAttention(4, 2)([[1.0]]), "takes 4 numbers at each position"),
        (lambda: nn.TransformerBlock(4, 2, activation="tanh"), "no activation called 'tanh'"),
    ],
)
def test_what_a_layer_cannot_do_is_refused_in_one_sentence(make, message):
    """Impossible sizes, and inputs of other sizes, say what to pass."""
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.LSTM(2, 1), (2, 2)),
        (lambda: nn.GRU(1, 2), (2, 1)),
        (lambda: nn.LayerNorm(3), (3,)),
        (lambda: nn.RMSNorm(3), (3,)),
        (lambda: nn.CausalSelfAttention(2, 1), (2, 2)),
        (lambda: nn.Sequential(nn.Conv2d(1, 1, 2, padding=1), nn.MaxPool2d(2)), (1, 3, 3)),
    ],
)
def test_second_derivatives_are_right(make, shape):
    """With respect to the parameters, against differences of first derivatives."""
    layer = make()
    x = np.random.default_rng(1).normal(size=shape).tolist()
    assert gradcheck(
        lambda _: functional.total([y * y * y for y in numbers(layer(x))]),
        layer.parameters(),
        order=2,
    )


class Tied(nn.Module):
    """A language model whose last layer has the embeddings as weights."""

    def __init__(self):
        self.token = nn.Embedding(5, 4)
        self.block = nn.TransformerBlock(4, 2)
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.token.weight

    def __call__(self, tokens):
        """Return the scores of what follows each token."""
        return self.head(self.block(self.token(tokens)))


def test_layers_may_share_weights():
    """They count once, have two names in a state, and get gradients from both uses."""
    model, copied = Tied(), Tied()
    assert len(model.parameters()) == 5 * 4 + len(model.block.parameters())
    state = model.state_dict()
    assert state["token.weight"].tolist() == state["head.weight"].tolist()
    copied.load_state_dict(state)

    def loss(model, tokens):
        return functional.total([functional.logsumexp(row) for row in model(tokens)])

    tokens = [3, 1, 4, 1]
    expected = loss(model, tokens)
    expected.backward()
    found = lift(loss)(copied, np.array(tokens))
    found.backward()
    assert found.data == pytest.approx(expected.data, rel=1e-12)
    assert [p.grad for p in copied.parameters()] == pytest.approx(
        [p.grad for p in model.parameters()], rel=1e-11, abs=1e-13
    )


@pytest.mark.parametrize(
    ("layer", "x", "message"),
    [
        (nn.Linear(2, 1), 3.0, "Linear takes a list of numbers and got one number; pass a list"),
        (
            nn.Conv2d(1, 1, 1),
            [[1.0]],
            r"\(channels, height, width\), and got fewer dimensions; pass",
        ),
        (nn.Conv2d(1, 1, 1), [[[[1.0]]]], "got more dimensions; loop, or use vmap"),
        (nn.LSTM(1, 1), [1.0], r"LSTM takes one sample, \(length, input_size\), and got fewer"),
        (nn.GRU(1, 1), [[[1.0]]], "GRU takes one sample, .* and got more"),
        (nn.TransformerBlock(1, 1), [[[1.0]]], "TransformerBlock takes one sample, .* got more"),
        (nn.CausalSelfAttention(1, 1), [1.0], "CausalSelfAttention takes one sample, .* got fewer"),
    ],
)
def test_a_layer_takes_one_sample(layer, x, message):
    """A batch, or a single number, is refused."""
    with pytest.raises(TypeError, match=message):
        layer(x)


def test_sequences_may_be_empty_and_images_may_not():
    """An empty sequence stays empty; an image has rows of one length, or is refused."""
    assert nn.TransformerBlock(2, 1)([]) == nn.CausalSelfAttention(2, 1)([]) == []
    assert nn.GRU(2, 1)([]) == ([], [[0.0]])
    for image in ([], [[]], [[[1.0], [1.0, 2.0]]], [[[1.0]], [[1.0], [1.0]]]):
        with pytest.raises(ValueError, match="without pixels, or with rows or columns of"):
            nn.MaxPool2d(1)(image)
    with pytest.raises(ValueError, match=r"cannot have 1\.5 rows or columns in a window"):
        nn.Conv2d(1, 1, (1.5, 1))
