"""Random scalar programs, as Python text: what Hypothesis prints is what was run.

A program is a function f(p, x, c, k, X, K): parameters in some container, a vector and a number of
inputs, a vector of indices, and, for vmap, a matrix and a vector with a row for each sample. Its
statements make vectors out of vectors by loops over index patterns of the kind that people write:
strides, windows, triangles, transpositions, permutations, scans, reads at run-time indices.
"""

import linecache
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from random import Random
from typing import Any

from hypothesis import strategies as st

from liftgrad import functional, operation, ops
from liftgrad.lift.stand_ins.vmap import vmap

UNARY = (
    *("-{0}", "abs({0})", "{0} ** 2", "{0} ** 3", "{0} ** 0", "{0} * 0.5", "1 - {0}", "{0} / 3"),
    *("exp({0} * 0.3)", "expm1({0} * 0.2)", "log(abs({0}) + 0.5)", "log1p({0} * {0})"),
    *("sqrt({0} * {0} + 0.1)", "sin({0})", "cos({0})", "tanh({0})", "erf({0})", "sigmoid({0})"),
    *("softplus({0})", "relu({0})", "leaky_relu({0})", "elu({0})", "gelu({0})", "silu({0})"),
    *("2.0 ** ({0} * 0.1)", "(abs({0}) + 0.5) ** 0.5", "(abs({0}) + 0.5) ** -1.5", "{0}"),
    *("({0} * {0} + 1.0) ** -2", "where({0} < 0.25, {0} * {0}, 0.5)", "relu(0.5 - {0})", "{0} * c"),
    *("where(invert({0} <= 0.5) | ({0} == 0), {0}, c)", "detach({0}) * {0}", "({0} + 0.0) * 1.0"),
    "squashed({0})",
)
HARSH = (
    *("log({0})", "sqrt({0})", "1.0 / {0}", "{0} ** 0.5", "{0} ** -1", "{0} ** 2.5", "log1p({0})"),
    *("exp({0} * 100.0)", "{0} * 1e200", "{0} * float('inf')", "{0} * 0.0"),
)
BINARY = (
    *("{0} + {1}", "{0} - {1}", "{0} * {1}", "{0} / ({1} * {1} + 0.5)", "maximum({0}, {1})"),
    *("minimum({0}, {1})", "where({0} < {1}, {0}, {1} * 0.5)", "detach({0}) * {1}"),
    *("{0} + {1} * c", "where(({0} <= {1}) & ({1} > -0.5), {1}, {0} * {1})"),
    *("(abs({0}) + 0.5) ** tanh({1})", "tanh({0} * {1} + 0.1)", "{0} * sigmoid({1})"),
    *("relu({0} - {1})", "exp(-{0} * {0}) * {1}"),
    *("where(invert(({0} >= {1}) | ({1} != 0.0)), sin({0}), {0} + {1})", "({0} - {1}) ** 2"),
    "rotated({0}, {1})",
)
HARSH_BINARY = (
    "{0} / {1}",
    "{0} ** {1}",
    "where({0} > 0, sqrt({0}), {1})",
    "maximum({0}, 1.0 / {1})",
)


def chain(terms: Iterable[Any]) -> Any:
    return reduce(lambda a, b: a + b, terms)


def chain_from_right(terms: Iterable[Any]) -> Any:
    return reduce(lambda a, b: b + a, reversed(list(terms)))


def by_halves(terms: Iterable[Any]) -> Any:
    terms = list(terms)
    half = len(terms) // 2
    return terms[0] if half == 0 else by_halves(terms[:half]) + by_halves(terms[half:])


def fold_maximum(terms: Iterable[Any]) -> Any:
    return reduce(functional.maximum, terms)


def scan(step: Callable[[Any, Any], Any], state: Any, inputs: Iterable[Any]) -> list[Any]:
    states = []
    for number in inputs:
        state = step(state, number)
        states.append(state)
    return states


def invert(condition: Any) -> Any:
    """`not`, which a lifted function cannot say; ~ of Python's bool means something else."""
    return condition ^ True


def distinct(values: Iterable[Any]) -> list[Any]:
    """Return each once, as parameters() does of what has several names."""
    return list({id(x): x for x in values}.values())


def made_of(kind: Callable[[float], Any], nested: Any) -> Any:
    """Return nested numbers with each made something else."""
    if isinstance(nested, dict):
        return {k: made_of(kind, v) for k, v in nested.items()}
    if isinstance(nested, list | tuple):
        return type(nested)(made_of(kind, v) for v in nested)
    return kind(nested)


def first_list(p: Any) -> list[Any]:
    """Return a list of parameters, or of rows of them."""
    return p if isinstance(p, list) else p.get("w") or p["rows"]


def tied(p: Any, ties: Iterable[tuple[int, int]]) -> Any:
    """Make some elements of its first list the same objects as others; return it."""
    first = first_list(p)
    for i, j in ties:
        first[j] = first[i]
    return p


# Operations of a program's own.
squashed = operation(
    lambda x: x / (1 + abs(x)), lambda y, x: 1 / (1 + abs(x)) ** 2, name="squashed"
)
rotated = operation(
    lambda a, b: functional.sin(a) * b + 0.5,
    lambda y, a, b: (functional.cos(a) * b, functional.sin(a)),
    name="rotated",
)

NAMES: dict[str, Any] = {
    **{name: getattr(functional, name) for name in functional.__all__},
    **{f.__name__: f for f in (chain, chain_from_right, by_halves, fold_maximum, scan, invert)},
    "distinct": distinct,
    "take": functional.take,
    "largest": ops.largest,
    "detach": ops.detach,
    "vmap": vmap,
    "squashed": squashed,
    "rotated": rotated,
}
REDUCERS = (
    *("sum({})", "sum({})", "total({})", "mean({})", "chain({})", "chain_from_right({})"),
    *("by_halves({})", "logsumexp({})", "fold_maximum({})", "largest(*{}) * {first}"),
)


@dataclass(frozen=True)
class Program:
    """The text of a function and the numbers to call it with."""

    body: str
    p: Any
    x: list[float]
    c: float
    k: list[int]
    X: list[list[float]]
    K: list[int]
    weights: list[float]
    """What the results' sum is weighted with whose gradient is taken; 0: not part of it."""
    ties: Sequence[tuple[int, int]] = ()
    """Which elements of the first list of parameters are one: Values or rows of them."""
    moves: bool = False
    """Whether the parameters are set to other numbers before the gradient is taken."""

    def parameters(self, kind: Callable[[float], Any]) -> Any:
        """Return p with numbers of some kind in it, some under several names."""
        return tied(made_of(kind, self.p), self.ties)

    @property
    def source(self) -> str:
        """The function as Python text."""
        return f"def f(p, x, c, k, X, K):\n{textwrap.indent(self.body, '    ')}\n"

    def function(self) -> Callable[..., Any]:
        """Return the function."""
        return compiled(self.source)

    def __repr__(self) -> str:
        names = ("p", "x", "c", "k", "X", "K", "weights", "ties", "moves")
        return "\n".join(["", self.source, *[f"{n} = {getattr(self, n)!r}" for n in names], ""])

    def _repr_pretty_(self, printer: Any, _cycle: Any) -> None:
        """Print as Python in Hypothesis's reports."""
        printer.text(repr(self))


def compiled(source: str) -> Callable[..., Any]:
    """Return the function f that the text defines, with its lines known to tracebacks."""
    name = f"<program {hash(source):x}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    space = dict(NAMES)
    exec(compile(source, name, "exec"), space)
    return space["f"]


def in_brackets(text: str) -> str:
    return text if re.fullmatch(r"\w+(\[[^][]*\])?|\w+\([^()]*\)", text) else f"({text})"


class _Writer:
    """Writes statements; knows which vectors there are and how long they are."""

    def __init__(self, draw: Any, lengths: dict[str, int], largest: int, *, harsh: bool) -> None:
        self.draw, self.lengths, self.largest, self.harsh = draw, dict(lengths), largest, harsh
        self.lines: list[str] = []
        self.prefix = "v"

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def pick(self, options: Any) -> Any:
        return options[self.integer(0, len(options) - 1)]

    def vector(self) -> tuple[str, int]:
        # Late vectors first: programs grow deep.
        items = list(self.lengths.items())
        return items[-1 - min(self.integer(0, len(items) - 1), self.integer(0, len(items) - 1))]

    def size(self) -> int:
        kind = self.integer(0, 5)
        if kind <= 2:
            size = self.integer(1, 9)
        elif kind <= 4:
            size = self.integer(7, 40)
        else:
            size = self.pick((1, 2, 15, 16, 17, 24, 31, 32, 33, 64, 100, 130))
        return min(size, self.largest)

    def let(self, text: str, length: int) -> str:
        name = f"{self.prefix}{len(self.lengths)}"
        self.lines.append(f"{name} = {text}")
        self.lengths[name] = length
        return name

    # --- positions ---------------------------------------------------------------------------

    def position(self, n: int, m: int) -> str:
        """Return a position below n for each i in range(m)."""
        options = []
        if m <= n:
            options += ["i", "i", f"{n - 1} - i"]
            if m < n:
                options += [f"i + {self.integer(1, n - m)}"]
            if m > 1 and (n - 1) // (m - 1) > 1:
                stride = self.integer(2, (n - 1) // (m - 1))
                options += [f"{stride} * i + {self.integer(0, n - 1 - stride * (m - 1))}"]
        options += [f"({self.integer(1, n)} * i + {self.integer(0, n - 1)}) % {n}"]
        options += [f"i // {self.integer(1, 5)} % {n}", f"i % {n}", str(self.integer(0, n - 1))]
        choice = self.integer(0, len(options))
        if choice < len(options):
            return options[choice]
        return f"{[self.integer(0, n - 1) for _ in range(min(m, 9))]}[i % {min(m, 9)}]"

    def position2(self, n: int, m: int, most: int) -> str:
        """Return a position below n for each i in range(m) and j in range(most)."""
        options = [f"({self.integer(0, n)} * i + {self.integer(1, n)} * j) % {n}"]
        if m * most <= n:
            options += [f"{most} * i + j", f"{m} * j + i", f"{n - 1} - {most} * i - j"]
        if m + most - 1 <= n:
            options += ["i + j", f"i + {most - 1} - j"]
        if most <= n:
            options += ["j", f"{n - 1} - j"]
        if m <= n:
            options += ["i"]
        if 2 * m + most - 2 <= n:
            options += ["2 * i + j"]
        return self.pick(options)

    def element(self, position: Callable[[int], str]) -> str:
        name, length = self.vector()
        return f"{name}[{position(length)}]"

    def unary(self, operand: str) -> str:
        templates = HARSH if self.harsh and self.integer(0, 4) == 0 else UNARY
        return self.pick(templates).format(in_brackets(operand))

    def binary(self, a: str, b: str) -> str:
        templates = HARSH_BINARY if self.harsh and self.integer(0, 4) == 0 else BINARY
        return self.pick(templates).format(in_brackets(a), in_brackets(b))

    # --- statements --------------------------------------------------------------------------

    def statement(self) -> None:
        sums = self.sums, self.sums, self.sums
        self.pick((self.map, self.map, self.outer, *sums, self.softmax, self.scan, self.windows))()

    def map(self) -> None:
        m = self.size()
        text = self.element(lambda n: self.position(n, m))
        for _ in range(self.integer(1, 3)):
            if self.integer(0, 1):
                text = self.binary(text, self.element(lambda n: self.position(n, m)))
            else:
                text = self.unary(text)
            if len(text) > 120:
                break
        self.let(f"[{text} for i in range({m})]", m)

    def outer(self) -> None:
        (a, m), (b, n) = self.vector(), self.vector()
        m = min(m, max(1, self.largest // n))
        loops = [f"for i in range({m})", f"for j in range({n})"]
        if self.integer(0, 1):
            loops.reverse()
        text = self.binary(f"{a}[i]", f"{b}[j]")
        self.let(f"[{text} {' '.join(loops)}]", m * n)

    def run_length(self, m: int) -> tuple[str, int]:
        """Return how many terms the sums have, and the largest number among them."""
        most = self.integer(1, 9) if self.integer(0, 3) else self.integer(1, 40)
        most = max(1, min(most, 4 * self.largest // m))
        kind = self.integer(0, 5)
        if kind == 0 and m * m <= 4 * self.largest:
            return "i + 1", m
        if kind == 1 and m * m <= 4 * self.largest:
            return f"{m} - i", m
        if kind == 2:
            return f"i % {most} + 1", min(m, most)
        if kind == 3 and m <= 8:
            lengths = [self.integer(1, most) for _ in range(m)]
            return f"{lengths}[i]", max(lengths)
        return str(most), most

    def sums(self) -> None:
        m = self.size()
        count, most = self.run_length(m)
        text = self.element(lambda n: self.position2(n, m, most))
        for _ in range(self.integer(0, 2)):
            if self.integer(0, 2):
                text = self.binary(text, self.element(lambda n: self.position2(n, m, most)))
            else:
                text = self.unary(text)
            if len(text) > 120:
                break
        reducer = self.pick(REDUCERS)
        if self.integer(0, 5) == 0:
            others = (
                f"[{self.element(lambda n: self.position2(n, m, most))} for j in range({count})]"
            )
            start = f", {self.element(lambda n: self.position(n, m))}" if self.integer(0, 1) else ""
            row = f"dot([{text} for j in range({count})], {others}{start})"
        else:
            first = self.element(lambda n: self.position(n, m))
            row = reducer.format(f"[{text} for j in range({count})]", first=first)
        if self.integer(0, 2) == 0:
            row = self.unary(row) if len(row) < 80 else f"tanh({row})"
        self.let(f"[{row} for i in range({m})]", m)

    def softmax(self) -> None:
        m = min(self.size(), 12)
        most = self.integer(1, 6)
        function = self.pick(("softmax", "softmax", "log_softmax"))
        text = self.element(lambda n: self.position2(n, m, most))
        row = f"{function}([{text} for j in range({most})])"
        self.let(f"[e for i in range({m}) for e in {row}]", m * most)

    def scan(self) -> None:
        name, length = self.vector()
        m = min(length, 24)
        start, weight = (self.element(lambda n: str(self.integer(0, n - 1))) for _ in range(2))
        step = self.pick(
            (
                "h * 0.5 + u",
                "tanh(h * {w} + u)",
                "h + u",
                "h + (u - h) * 0.1",
                "maximum(h, u) + {w}",
                "h * {w} + sin(u)",
            )
        )
        self.let(f"scan(lambda h, u: {step.format(w=weight)}, {start}, {name}[:{m}])", m)

    def windows(self) -> None:
        """A convolution: a kernel slid over a row or over an image."""
        (a, n), (b, m) = self.vector(), self.vector()
        m = min(m, n, 9)
        stride = self.integer(1, 2)
        count = min((n - m) // stride + 1, max(1, 3 * self.largest // m))
        at = "i" if stride == 1 else "2 * i"
        row = f"sum({a}[{at} + j] * {b}[j] for j in range({m}))"
        self.let(f"[{row} for i in range({count})]", count)

    def takes(self, index: str, count: int, extent: int, *, one: bool) -> None:
        """Reads at run-time indices: `index` names a vector of `count` of them, or just one."""
        name, n = self.vector()
        m = 1 if one else self.size()
        at = index if one else f"{index}[{self.position(count, m)}]"
        kind = self.integer(0, 4)
        if kind == 0:
            text = self.binary(
                f"{name}[{self.position(n, m)}]",
                f"({self.element(lambda n: self.position(n, m))} * {at})",
            )
        elif kind == 1:
            a, b = (self.element(lambda n: self.position(n, m)) for _ in range(2))
            sign = self.pick(("==", "<", ">=", "!="))
            text = f"where({at} {sign} {self.integer(0, extent)}, {a}, {b})"
        elif n < extent:
            return
        elif kind == 2:
            text = f"take({name}, {at})"
        elif kind == 3:
            width = self.integer(1, n // extent)
            rows = f"[{name}[{width} * r : {width} * r + {width}] for r in range({n // width})]"
            self.let(f"[e for i in range({m}) for e in take({rows}, {at})]", m * width)
            return
        else:
            shift = self.position(n - extent + 1, m)
            factor = self.element(lambda n: self.position(n, m))
            text = f"take({name}[{shift} : {shift} + {extent}], {at}) * {factor}"
        self.let(f"[{text} for i in range({m})]", m)


@st.composite
def ties_among(draw: Any, count: int) -> list[tuple[int, int]]:
    """Return pairs of places of a list, the second of which is to hold what the first does."""
    if count < 2 or draw(st.integers(0, 2)):
        return []
    place = st.integers(0, count - 1)
    return draw(st.lists(st.tuples(place, place), min_size=1, max_size=3))


@st.composite
def parameters(draw: Any, number: Callable[[], float]) -> tuple[Any, str, int]:
    """Return nested numbers, an expression for their list, and how many there are."""
    kind = draw(st.integers(0, 3))
    n = draw(st.one_of(st.integers(1, 12), st.integers(1, 40)))
    if kind == 0:
        return [number() for _ in range(n)], "p", n
    if kind == 1:
        width = draw(st.integers(1, 5))
        rows = [[number() for _ in range(width)] for _ in range(max(1, n // width))]
        return rows, "[e for row in p for e in row]", len(rows) * width
    if kind == 2:
        half = draw(st.integers(0, n - 1))
        numbers = [number() for _ in range(n)]
        return {"w": numbers[half:], "b": (numbers[:half],)}, 'p["w"] + p["b"][0]', n
    rows = [[number() for _ in range(n)] for _ in range(2)]
    return {"rows": rows}, '[p["rows"][i % 2][i // 2] for i in range(' + str(2 * n) + ")]", 2 * n


PLAIN = (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 0.25, -1.5)
SPECIAL = (-0.0, math.inf, -math.inf, math.nan, 1e300, 1e-300, 5e-324)


@st.composite
def programs(draw: Any, *, largest: int = 130, samples: int = 40, statements: int = 5) -> Program:
    """Draw a program; `largest` bounds its vectors, `samples` its batch."""
    harsh = draw(st.integers(0, 3)) == 3
    special = harsh and draw(st.integers(0, 2)) == 2
    # Many numbers from one draw: what matters about them is that they differ, or now and then tie.
    random = Random(draw(st.integers(0, 2**16)))
    exact = draw(st.integers(0, 2)) == 0

    def number() -> float:
        if special and random.random() < 0.1:
            return random.choice(SPECIAL)
        if exact:
            return random.choice(PLAIN)
        return round(random.uniform(-2.0, 2.0), 3)

    p, text, n = draw(parameters(number))
    x = [number() for _ in range(draw(st.integers(1, 12)))]
    extent = draw(st.integers(1, 5))
    k = [random.randrange(extent) for _ in range(draw(st.integers(1, 9)))]
    N = draw(st.integers(1, samples))
    d = draw(st.integers(1, 6))
    X = [[number() for _ in range(d)] for _ in range(N)]
    K = [random.randrange(extent) for _ in range(N)]

    ties = draw(ties_among(len(first_list(p))))
    if ties and draw(st.booleans()):
        values: list[Any] = []
        made_of(values.append, tied(made_of(lambda _: object(), p), ties))
        text, n = f"distinct({text})", len(distinct(values))
    writer = _Writer(draw, {}, largest, harsh=harsh)
    writer.let(text, n)
    if draw(st.booleans()):
        writer.let("[e for e in x]", len(x))
    mapped: list[str] = []
    for _ in range(draw(st.integers(1, statements))):
        kind = draw(st.integers(0, 8))
        if kind == 8:
            writer.takes("k", len(k), extent, one=False)
        elif kind >= 6:
            mapped.append(_mapped(writer, d, extent, max(4, min(40, 400 // N))))
        else:
            writer.statement()
    results = _results(writer, mapped)
    weights = [draw(st.sampled_from((1.0, 0.0, 0.5, -2.0))) for _ in range(8)]
    c = number()
    body = "\n".join([*writer.lines, f"return {results}"])
    return Program(body, p, x, c, k, X, K, weights, ties, draw(st.booleans()))


def _mapped(writer: _Writer, d: int, extent: int, largest: int) -> str:
    """Write a function of a sample, and the map; return the name of its results."""
    inner = _Writer(writer.draw, writer.lengths, largest, harsh=writer.harsh)
    name = f"s{len(writer.lines)}"
    inner.prefix = f"{name}_"
    indexed = bool(writer.integer(0, 1))
    inner.let("[e for e in r]", d)
    for _ in range(writer.integer(1, 3)):
        if indexed and writer.integer(0, 2) == 0:
            inner.takes("t", 1, extent, one=True)
        else:
            inner.statement()
    last, n = list(inner.lengths.items())[-1]
    value = writer.pick((f"total({last})", f"sum({last})", f"{last}[{n - 1}]", f"mean({last})"))
    if writer.integer(0, 2) == 0:
        other, m = writer.vector()
        value += f" {writer.pick('+-*')} {other}[{writer.integer(0, m - 1)}]"
    lines = [*inner.lines, f"return {value}"]
    body = textwrap.indent("\n".join(lines), "    ")
    writer.lines.append(f"def g{name}(r{', t' if indexed else ''}):\n{body}")
    writer.lines.append(f"{name} = vmap(g{name})(X{', K' if indexed else ''})")
    writer.let(f"[{writer.pick(('total', 'mean'))}({name}) * 0.5]", 1)
    return name


def _results(writer: _Writer, mapped: list[str]) -> str:
    last, n = list(writer.lengths.items())[-1]
    first = writer.pick((f"total({last})", f"sum({last})", f"{last}[{n - 1}]", f"mean({last})"))
    kind = writer.integer(0, 6)
    if kind <= 2:
        return first
    other, m = writer.vector()
    if kind == 3:
        return f"({first}, {{'v': {other}[:3], 'none': [], 'constant': 3}})"
    if kind == 4:
        return f"[{first}, [{other}[0], {other}[0]], {other}[{m - 1}] * 2.0]"
    if kind == 5:
        return f"{last}[:40]"
    return f"({first}, {', '.join(mapped) or 'c * 1.0'})"
