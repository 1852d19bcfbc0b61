"""A character transformer on single numbers, in the manner of Karpathy's microgpt (2026).

Everything is there: a `Value` with slots and local derivatives, the network as functions on lists
of Values, Adam, one text a step. `train` takes the class of Values to run on, so that the same
program runs on its own and on another library's. No line is copied; the arithmetic, and the order
in which random numbers are drawn, are the original's.
"""

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

WIDTH, HEADS, CONTEXT = 16, 4, 16
HEAD = WIDTH // HEADS


class Value:
    """A number that knows what it was made of and the derivatives by that."""

    __slots__ = ("_children", "_slopes", "data", "grad")

    def __init__(
        self, data: float, children: tuple["Value", ...] = (), slopes: tuple[float, ...] = ()
    ) -> None:
        self.data = data
        self.grad = 0.0
        self._children = children
        self._slopes = slopes

    def __add__(self, other: "Value | float") -> "Value":
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other: "Value | float") -> "Value":
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, other: float) -> "Value":
        return Value(self.data**other, (self,), (other * self.data ** (other - 1),))

    def log(self) -> "Value":
        """Return the natural logarithm."""
        return Value(math.log(self.data), (self,), (1 / self.data,))

    def exp(self) -> "Value":
        """Return the exponential."""
        y = math.exp(self.data)
        return Value(y, (self,), (y,))

    def relu(self) -> "Value":
        """Return the number, or 0 if it is negative."""
        return Value(max(0.0, self.data), (self,), (float(self.data > 0),))

    def __neg__(self) -> "Value":
        return self * -1

    def __radd__(self, other: "Value | float") -> "Value":
        return self + other

    def __sub__(self, other: "Value | float") -> "Value":
        return self + (-other)

    def __rmul__(self, other: "Value | float") -> "Value":
        return self * other

    def __truediv__(self, other: "Value | float") -> "Value":
        return self * other**-1

    def backward(self) -> None:
        """Set the gradients of all that this was made of."""
        order: list[Value] = []
        seen = set()

        def visit(v: Value) -> None:
            if v not in seen:
                seen.add(v)
                for child in v._children:
                    visit(child)
                order.append(v)

        visit(self)
        self.grad = 1.0
        for v in reversed(order):
            for child, slope in zip(v._children, v._slopes, strict=True):
                child.grad += slope * v.grad


Vector = list[Any]
Matrix = list[Vector]


def linear(x: Vector, w: Matrix) -> Vector:
    """Return the matrix times the vector."""
    return [sum(wi * xi for wi, xi in zip(wo, x, strict=True)) for wo in w]


def softmax(logits: Vector) -> Vector:
    """Return the probabilities."""
    largest = max(v.data for v in logits)
    exps = [(v - largest).exp() for v in logits]
    total = sum(exps)
    return [e / total for e in exps]


def rmsnorm(x: Vector) -> Vector:
    """Return the vector over the root of its mean square."""
    ms = sum(xi * xi for xi in x) / len(x)
    scale = (ms + 1e-5) ** -0.5
    return [xi * scale for xi in x]


def logits_of(
    state: dict[str, Matrix], token: int, position: int, keys: Matrix, values: Matrix
) -> Vector:
    """Return the scores of the next token, after noting down this one's key and value."""
    x = [t + p for t, p in zip(state["wte"][token], state["wpe"][position], strict=True)]
    x = rmsnorm(x)
    before = x
    x = rmsnorm(x)
    q = linear(x, state["wq"])
    keys.append(linear(x, state["wk"]))
    values.append(linear(x, state["wv"]))
    attended = []
    for h in range(HEADS):
        part = slice(h * HEAD, (h + 1) * HEAD)
        q_h, k_h, v_h = q[part], [k[part] for k in keys], [v[part] for v in values]
        scores = [sum(q_h[j] * k_h[t][j] for j in range(HEAD)) / HEAD**0.5 for t in range(len(k_h))]
        weights = softmax(scores)
        attended += [sum(weights[t] * v_h[t][j] for t in range(len(v_h))) for j in range(HEAD)]
    x = linear(attended, state["wo"])
    x = [a + b for a, b in zip(x, before, strict=True)]
    before = x
    x = rmsnorm(x)
    x = [xi.relu() for xi in linear(x, state["fc1"])]
    x = linear(x, state["fc2"])
    x = [a + b for a, b in zip(x, before, strict=True)]
    return linear(x, state["lm_head"])


def train(
    kind: Callable[[float], Any], texts: Sequence[str], steps: int, after: Callable[[float], None]
) -> None:
    """Train on the texts, one a step; `after` is told each step's loss."""
    random.seed(42)
    texts = list(texts)
    random.shuffle(texts)
    characters = sorted(set("".join(texts)))
    end = len(characters)

    def matrix(rows: int, columns: int) -> Matrix:
        return [[kind(random.gauss(0, 0.08)) for _ in range(columns)] for _ in range(rows)]

    state = {"wte": matrix(end + 1, WIDTH), "wpe": matrix(CONTEXT, WIDTH)}
    state["lm_head"] = matrix(end + 1, WIDTH)
    for name in ("wq", "wk", "wv", "wo"):
        state[name] = matrix(WIDTH, WIDTH)
    state["fc1"], state["fc2"] = matrix(4 * WIDTH, WIDTH), matrix(WIDTH, 4 * WIDTH)
    parameters = [p for rows in state.values() for row in rows for p in row]

    rate, beta1, beta2, eps = 0.01, 0.85, 0.99, 1e-8
    first, second = [0.0] * len(parameters), [0.0] * len(parameters)
    for step in range(steps):
        text = texts[step % len(texts)]
        tokens = [end, *[characters.index(c) for c in text], end]
        n = min(CONTEXT, len(tokens) - 1)
        keys: Matrix = []
        values: Matrix = []
        losses = []
        for position in range(n):
            scores = logits_of(state, tokens[position], position, keys, values)
            losses.append(-softmax(scores)[tokens[position + 1]].log())
        loss = (1 / n) * sum(losses)
        loss.backward()
        now = rate * (1 - step / 1000)
        for i, p in enumerate(parameters):
            first[i] = beta1 * first[i] + (1 - beta1) * p.grad
            second[i] = beta2 * second[i] + (1 - beta2) * p.grad**2
            m = first[i] / (1 - beta1 ** (step + 1))
            v = second[i] / (1 - beta2 ** (step + 1))
            p.data -= now * m / (v**0.5 + eps)
            p.grad = 0.0
        after(loss.data)
