"""A character transformer on single numbers, after Karpathy's microgpt (2026).

It is a small GPT-2: RMSNorm for LayerNorm, ReLU for GELU, no biases, one block. Parameters are
drawn in microgpt's order, so that a seed gives the same network and the same losses.

>>> import random
>>> random.seed(42)
>>> model = GPT(27)
>>> len(model.parameters())
4192
>>> round(loss(model, *example([26, 4, 12, 12, 0, 26])).data, 1)
3.2
"""

import hashlib
import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liftgrad import files
from liftgrad.engine import Value
from liftgrad.fields import fields, listed, real, text, whole
from liftgrad.functional import dot, log_softmax, mean, relu, softmax, take, total
from liftgrad.nn import Module

__all__ = ["GPT", "Alphabet", "example", "load", "loss", "next_token", "save"]

_DEVIATION = 0.08


class Alphabet:
    """The characters of some texts as tokens 0, 1, ..., and a last token that marks a text's ends.

    >>> Alphabet(["anna", "ben"]).encode("ban")
    [4, 1, 0, 3, 4]
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.characters = sorted(set("".join(texts)))
        self.end = len(self.characters)
        self._token_of = {character: i for i, character in enumerate(self.characters)}

    def __len__(self) -> int:
        return self.end + 1

    def encode(self, text: str) -> list[int]:
        """Return the text's tokens, between two of the token that marks its ends.

        >>> Alphabet(["anna", "ben"]).encode("ann")
        [4, 0, 3, 3, 4]

        Raises:
            KeyError: if a character is not in the alphabet.

        """
        return [self.end, *[self._token_of[character] for character in text], self.end]


class GPT(Module):
    """A transformer of one block: causal attention, then a perceptron, each added to its input.

    >>> model = GPT(3, width=4, heads=2, block=8)
    >>> scores = model([0, 1, 2, 1])
    >>> len(scores), len(scores[0])
    (4, 3)

    Args:
        tokens: how many different tokens there are.
        width: the length of the vector for a token at a position.
        heads: how many slices of it attend independently.
        block: the most tokens in its context.

    Raises:
        ValueError: if the heads do not divide the width, or a size is not positive.

    """

    def __init__(self, tokens: int, width: int = 16, heads: int = 4, block: int = 16) -> None:
        if min(tokens, width, heads, block) < 1 or width % heads:
            raise ValueError(
                f"no transformer has {tokens} tokens, width {width}, {heads} heads and block "
                f"{block}; pass positive sizes, and heads that divide the width."
            )
        self.heads, self.block = heads, block
        self.token = _matrix(tokens, width)
        self.position = _matrix(block, width)
        self.head = _matrix(tokens, width)
        self.query = _matrix(width, width)
        self.key = _matrix(width, width)
        self.value = _matrix(width, width)
        self.mix = _matrix(width, width)
        self.expand = _matrix(4 * width, width)
        self.contract = _matrix(width, 4 * width)

    def forward(self, tokens: Sequence[Any]) -> list[list[Any]]:
        """Return, for each position, every token's score as the next one.

        Attention is causal: scores do not depend on the tokens that follow.

        Raises:
            IndexError: if there are more tokens than positions in the block.

        """
        keys: list[list[Any]] = []
        values: list[list[Any]] = []
        return [self._scores(token, i, keys, values) for i, token in enumerate(tokens)]

    def _scores(
        self, token: Any, position: int, keys: list[list[Any]], values: list[list[Any]]
    ) -> list[Any]:
        """Return the scores at a position, and append its key and its value."""
        x = _normalised(_added(take(self.token, token), self.position[position]))
        y = _normalised(x)
        query = _linear(self.query, y)
        keys.append(_linear(self.key, y))
        values.append(_linear(self.value, y))
        x = _added(x, _linear(self.mix, self._attended(query, keys, values)))
        hidden = [relu(h) for h in _linear(self.expand, _normalised(x))]
        x = _added(x, _linear(self.contract, hidden))
        return _linear(self.head, x)

    def _attended(
        self, query: list[Any], keys: list[list[Any]], values: list[list[Any]]
    ) -> list[Any]:
        """Return, for each head, the mean of the values, weighted by the softmax of query·key."""
        size = len(query) // self.heads
        attended = []
        for start in range(0, len(query), size):
            part = slice(start, start + size)
            weights = softmax([dot(query[part], key[part]) / size**0.5 for key in keys])
            attended += [
                dot(weights, [value[j] for value in values]) for j in range(start, start + size)
            ]
        return attended


def loss(model: GPT, tokens: Sequence[Any], weights: Sequence[Any]) -> Any:
    """Return a text's weighted cross-entropy: Σ weights[i]·(-log p(tokens[i + 1] | before)).

    >>> model = GPT(3, width=4, heads=2, block=8)
    >>> mean_loss = loss(model, *example([2, 0, 1, 2]))
    >>> mean_loss.backward()
    >>> 0.5 < mean_loss.data < 2.0
    True

    Args:
        model: with a block of at least len(weights) positions.
        tokens: one more than weights.
        weights: of each token but the first; 0 excludes one.

    """
    scores = model(tokens[:-1])
    return total(
        [
            -take(log_softmax(row), target) * weight
            for row, target, weight in zip(scores, tokens[1:], weights, strict=True)
        ]
    )


def example(tokens: Sequence[int], length: int | None = None) -> tuple[list[int], list[float]]:
    """Return tokens and weights that make `loss` the mean over a text, cut or padded.

    Padded texts of all lengths share one program: the text's own positions do not attend to the
    padding, which has weight 0.

    >>> example([2, 0, 2], length=4)
    ([2, 0, 2, 2, 2], [0.5, 0.5, 0.0, 0.0])

    Args:
        tokens: of a text, with its ends.
        length: how many weights to return; None: one for each token but the first.

    """
    length = len(tokens) - 1 if length is None else length
    count = min(len(tokens) - 1, length)
    padding = length - count
    return (
        [*tokens[: count + 1], *[tokens[-1]] * padding],
        [*[1.0 / count] * count, *[0.0] * padding],
    )


def next_token(model: GPT, tokens: Sequence[Any], last: Any, temperature: Any) -> list[Any]:
    """Return the probability that each token comes after tokens[last].

    >>> model = GPT(3, width=4, heads=2, block=8)
    >>> probabilities = next_token(model, [2, 0, 1], last=2, temperature=0.5)
    >>> len(probabilities), round(sum(p.data for p in probabilities), 6)
    (3, 1.0)

    Args:
        model: with a block of at least len(tokens) positions.
        tokens: a text; anything after its last token is ignored.
        last: the position of the text's last token.
        temperature: below 1 favours likely tokens, above 1 gives more variety.

    """
    return softmax([score / temperature for score in take(model(tokens), last)])


def save(model: GPT, alphabet: Alphabet, path: str | os.PathLike[str]) -> None:
    """Write a model and its characters to a JSON file, which `load` reads.

    >>> alphabet = Alphabet(["anna", "ben"])
    >>> save(GPT(len(alphabet), width=4, heads=2, block=8), alphabet, "gpt.json")

    Raises:
        OSError: if the file cannot be written; an existing one is left as it is.

    """
    saved = {
        "characters": "".join(alphabet.characters),
        "heads": model.heads,
        "parameters": {name: x.tolist() for name, x in model.state_dict().items()},
    }
    files.write(path, json.dumps({"digest": _digest(saved), **saved}, indent=0).encode())


def load(path: str | os.PathLike[str]) -> tuple[GPT, Alphabet]:
    """Return the model and the characters that `save` wrote.

    >>> alphabet = Alphabet(["anna", "ben"])
    >>> save(GPT(len(alphabet), width=4, heads=2, block=8), alphabet, "gpt.json")
    >>> model, alphabet = load("gpt.json")
    >>> alphabet.characters, model.heads
    (['a', 'b', 'e', 'n'], 2)

    Raises:
        ValueError: if the file is damaged or of another kind.
        OSError: if it cannot be read.

    """
    try:
        saved = fields("content", json.loads(Path(path).read_bytes()))
        digest = saved.pop("digest")
        if digest != _digest(saved):
            raise ValueError("its digest is not that of its contents")  # noqa: TRY301, like others
        alphabet = Alphabet([text("characters", saved["characters"])])
        state = _matrices(fields("parameters", saved["parameters"]), len(alphabet))
        before = random.getstate()  # which drawing the initial weights would change
        width, block = len(state["query"]), len(state["position"])
        model = GPT(len(alphabet), width, whole("heads", saved["heads"]), block)
        random.setstate(before)
        model.load_state_dict(state)
    except (KeyError, ValueError, RecursionError) as error:
        why = f"its {error} is not there" if isinstance(error, KeyError) else error
        raise ValueError(
            f"'{path}' is not a model that liftgrad.gpt wrote, or a damaged one ({why}); choose "
            "another."
        ) from None
    return model, alphabet


def _matrices(parameters: dict[str, Any], tokens: int) -> dict[str, list[list[float]]]:
    """Return the parameters' numbers, if all sizes are those of one model."""
    state = {
        name: listed(name, rows, lambda name, row: listed(name, row, real))
        for name, rows in parameters.items()
    }
    width, block = len(state["query"]), len(state["position"])
    rows = {"token": tokens, "position": block, "head": tokens, "expand": 4 * width}
    for name, matrix in state.items():
        columns = 4 * width if name == "contract" else width
        if len(matrix) != rows.get(name, width) or {len(row) for row in matrix} != {columns}:
            raise ValueError(f"its {name} is of other sizes than its query")
    return state


def _digest(saved: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(saved).encode()).hexdigest()


def _matrix(rows: int, columns: int) -> list[list[Value]]:
    return [[Value(random.gauss(0.0, _DEVIATION)) for _ in range(columns)] for _ in range(rows)]


def _linear(matrix: list[list[Any]], x: list[Any]) -> list[Any]:
    return [dot(row, x) for row in matrix]


def _added(x: list[Any], y: list[Any]) -> list[Any]:
    return [a + b for a, b in zip(x, y, strict=True)]


def _normalised(x: list[Any]) -> list[Any]:
    """Return x divided by its root mean square (Zhang & Sennrich, 2019)."""
    scale = (mean([number * number for number in x]) + 1e-5) ** -0.5
    return [number * scale for number in x]
