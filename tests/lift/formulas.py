"""An independent reader of printed formulas and programs: it parses the text and computes with it.

The grammar is the one in `liftgrad.lift.explain.formula`; nothing of the printer is used here.
"""

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from strategies import rotated, squashed

from liftgrad import Value, ops

TOKEN = re.compile(
    r"\s*(?:"
    r"(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?|∞|nan)"
    r"|(?P<sum>Σ_[a-z]\d*(?:,[a-z]\d*)*)"
    r"|(?P<max>max_[a-z]\d*(?:,[a-z]\d*)*(?=\())"
    r"|(?P<name>(?:[∂\#]′*)*[A-Za-z_][A-Za-z0-9_]*'*(?:\.[A-Za-z0-9_]+)*)"
    r"|(?P<power>\^-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)"
    r"|(?P<sign>:=|[-+·/^()\[\],|<≤=≠])"
    r")"
)
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
CALLS = {
    o.notation.split("(")[0]: o
    for o in (*ops.OPERATIONS.values(), ops.select, squashed, rotated)
    if o.notation.endswith(")") and o.arity is not None
}
SIGNS = {
    "+": ops.add,
    "-": ops.subtract,
    "·": ops.multiply,
    "/": ops.divide,
    "<": ops.less,
    "≤": ops.less_equal,
    "=": ops.equal,
    "≠": ops.not_equal,
    "and": ops.logical_and,
    "or": ops.logical_or,
}


@dataclass
class Scope:
    """What a formula's names and indices stand for."""

    read: Callable[[str, tuple[Any, ...]], Any]
    extents: Mapping[str, Callable[[Mapping[str, Any]], Any]]
    """For each letter the values that it takes."""
    tables: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Tables, indexed by letters: their numbers are in the order of the letters' loops."""
    places: dict[tuple[str, ...], dict[tuple[Any, ...], int]] = field(default_factory=dict)

    def entry(self, table: str, letters: tuple[str, ...], indices: tuple[Any, ...]) -> Any:
        """Return a table's number; a last index that is no letter is one known at run time."""
        count = len(letters)
        if letters not in self.places:
            every = steps(list(letters), self.extents, {})
            self.places[letters] = {
                tuple(step[letter] for letter in letters): n for n, step in enumerate(every)
            }
        numbers, places = self.tables[table], self.places[letters]
        each = len(numbers) // len(places)
        return numbers[places[indices[:count]] * each + sum(indices[count:])]


class Formula:
    """A formula, parsed; call it with a scope and the values of its free letters."""

    def __init__(self, text: str) -> None:
        self.tokens = tokens(text)
        self.place = 0
        self.tree = self._condition()
        assert self.place == len(self.tokens), (text, self.tokens[self.place :])

    def __call__(self, scope: Scope, letters: Mapping[str, Any]) -> Any:
        """Return the formula's value."""
        return evaluate(self.tree, scope, letters)

    # --- one method for each rule of the grammar -------------------------------------------------

    def _condition(self) -> Any:
        left = self._negation()
        if self._next in ("and", "or"):
            sign = self._take()
            return ("apply", SIGNS[sign], [left, self._negation()])
        return left

    def _negation(self) -> Any:
        if self._next == "not":
            self._take()
            return ("apply", ops.logical_not, [self._negation()])
        return self._comparison()

    def _comparison(self) -> Any:
        left = self._sum()
        if self._next in ("<", "≤", "=", "≠"):
            sign = self._take()
            return ("apply", SIGNS[sign], [left, self._sum()])
        return left

    def _sum(self) -> Any:
        left = self._product()
        while self._next in ("+", "-"):
            sign = self._take()
            left = ("apply", SIGNS[sign], [left, self._product()])
        return left

    def _product(self) -> Any:
        left = self._prefix()
        while self._next in ("·", "/"):
            sign = self._take()
            left = ("apply", SIGNS[sign], [left, self._prefix()])
        return left

    def _prefix(self) -> Any:
        if self._next == "-":
            self._take()
            return ("apply", ops.negate, [self._prefix()])
        if self._kind == "sum":
            letters = self._take().removeprefix("Σ_").split(",")
            return ("reduce", ops.total, letters, self._product())
        return self._power()

    def _power(self) -> Any:
        base = self._operand()
        if self._kind == "power":
            exponent = float(self._take().translate(SUPERSCRIPTS).removeprefix("^"))
            return ("apply", ops.power_constant(exponent), [base])
        if self._next == "^":
            self._take()
            return ("apply", ops.power, [base, self._operand()])
        return base

    def _operand(self) -> Any:
        kind, text = self._kind, self._take()
        if kind == "number":
            return ("number", math.inf if text == "∞" else float(text))
        if kind == "max":
            self._expect("(")
            body = self._condition()
            self._expect(")")
            return ("reduce", ops.largest, text.removeprefix("max_").split(","), body)
        if kind == "name":
            return self._call(text) if self._next == "(" else ("read", text, self._indices())
        if text == "(":
            inner = self._named()
            self._expect(")")
            return inner
        assert text == "|", text
        inner = self._condition()
        self._expect("|")
        return ("apply", ops.absolute, [inner])

    def _named(self) -> Any:
        if self._kind == "name" and self.tokens[self.place + 1][1] == ":=":
            self._take()
            self._take()
        return self._condition()

    def _call(self, name: str) -> Any:
        operands = []
        while self._next in ("(", ","):
            self._take()
            operands.append(self._named())
        self._expect(")")
        return ("apply", CALLS[name], operands)

    def _indices(self) -> list[Any]:
        found = []
        if self._next == "[":
            while self._next in ("[", ","):
                self._take()
                found.append(self._index())
            self._expect("]")
        return found

    def _index(self) -> Any:
        """Return an index: a sum of numbers and multiples of letters, such as 4i+k or 7-s."""
        terms = []
        while self._next not in ("]", ","):
            sign = 1
            if self._next in ("+", "-"):
                sign = 1 if self._take() == "+" else -1
            factor: Any = ("number", float(sign))
            while self._next not in ("]", ",", "+", "-"):
                if self._next == "·":
                    self._take()
                part = self._operand()
                factor = part if factor == ("number", 1.0) else ("times", factor, part)
            terms.append(factor)
        return terms[0] if len(terms) == 1 else ("plus", *terms)

    # --- tokens ----------------------------------------------------------------------------------

    @property
    def _next(self) -> str:
        return self.tokens[self.place][1] if self.place < len(self.tokens) else ""

    @property
    def _kind(self) -> str:
        return self.tokens[self.place][0] if self.place < len(self.tokens) else ""

    def _take(self) -> str:
        self.place += 1
        return self.tokens[self.place - 1][1]

    def _expect(self, text: str) -> None:
        assert self._take() == text, self.tokens


def tokens(text: str) -> list[tuple[str, str]]:
    found = []
    place = 0
    while place < len(text):
        match = TOKEN.match(text, place)
        assert match, text[place:]
        kind = match.lastgroup
        assert kind
        found.append((kind, match[kind]))
        place = match.end()
    return found


def evaluate(tree: Any, scope: Scope, letters: Mapping[str, Any]) -> Any:  # noqa: PLR0911
    """Return the value of a parsed formula."""
    match tree:
        case ("number", value):
            return value
        case ("apply", ops.select, (condition, a, b)):
            return evaluate(a if evaluate(condition, scope, letters) else b, scope, letters)
        case ("apply", operation, operands):
            return operation.forward(*[evaluate(x, scope, letters) for x in operands])
        case ("reduce", operation, over, body):
            values = [evaluate(body, scope, inner) for inner in steps(over, scope.extents, letters)]
            return operation.forward(*values)
        case ("read", name, indices):
            return look_up(name, indices, scope, letters)
        case ("times", a, b):
            return evaluate(a, scope, letters) * evaluate(b, scope, letters)
        case ("plus", *terms):
            return sum(evaluate(term, scope, letters) for term in terms)
    raise AssertionError(tree)


def look_up(name: str, indices: list[Any], scope: Scope, letters: Mapping[str, Any]) -> Any:
    """Return what a name with indices stands for: a letter, an entry of a table, or a number."""
    if name in letters and not indices:
        return letters[name]
    found = [evaluate(index, scope, letters) for index in indices]
    places = tuple(int(i) if isinstance(i, float) else i for i in found)
    if name not in scope.tables:
        return scope.read(name, places)
    if name.startswith("numbers"):
        return scope.tables[name][places[0]]
    over = [index[1] for index in indices if index[0] == "read" and not index[2]]
    return scope.entry(name, tuple(over), places)


def steps(
    over: list[str],
    extents: Mapping[str, Callable[[Mapping[str, Any]], Any]],
    letters: Mapping[str, Any],
) -> Any:
    """Yield the values of letters for each step of loops over some of them."""
    if not over:
        yield dict(letters)
        return
    for value in extents[over[0]](letters):
        yield from steps(over[1:], extents, {**letters, over[0]: value})


# --- programs ----------------------------------------------------------------------------------


class Reader:
    """Carries out a printed program, line by line, on the arguments of the function."""

    def __init__(self, arguments: Mapping[str, Any], samples: int | None = None) -> None:
        self.arguments = arguments
        self.numbers: dict[Any, float] = {}
        self.samples = samples
        self.tables: dict[str, list[Any]] = {}

    def run(self, text: str) -> None:
        """Carry out all lines."""
        lines = [line for line in text.splitlines()[1:] if line]
        for line in lines:
            if match := re.fullmatch(r"((?:table|values|numbers)\d+) = (.*)", line):
                assert "…" not in line, "a table is cut short; take a smaller program"
                self.tables[match[1]] = [_word_or_number(x) for x in match[2].split(", ")]
        while lines:
            line = lines.pop(0)
            if match := re.fullmatch(r"  for (\w+) (?:< (\d+)|from (\d+) down to 0):", line):
                body = []
                while lines and lines[0].startswith("    "):
                    body.append(lines.pop(0))
                letter, stop, last = match.groups()
                every = range(int(stop)) if stop else range(int(last), -1, -1)
                self.loop(letter, every, body)
            elif line.startswith("  "):
                self.line(*formula_and_limits(line))

    def loop(self, letter: str, every: range, body: list[str]) -> None:
        """Carry out the lines of a loop for each step in order."""
        parts = [formula_and_limits(line) for line in body]
        chosen = [self.steps(limits, letter, every) for _, limits in parts]
        for step in every:
            for (formula, limits), some in zip(parts, chosen, strict=True):
                if step in some:
                    self.line(formula, limits, {letter: step}, {letter: sorted(some)})

    def steps(self, limits: str, letter: str, every: range) -> list[int]:
        """Return in which steps a line of a loop is carried out."""
        ends = re.search(rf"(?:(\d+)≤)?\b{letter}(?:≥(\d+)|<(\d+)|=(\d+))", limits)
        listed = re.search(rf"\b{letter}∈(?:{{(.*?)}}|(table\d+))", limits)
        if ends:
            least, at_least, below, at = (None if x is None else int(x) for x in ends.groups())
            if at is not None:
                return [at]
            stop = len(every) if below is None else below
            return list(range(least or at_least or 0, stop))
        if listed and listed[2]:
            return self.tables[listed[2]]
        if listed and "…" in listed[1]:
            first, second, last = (int(x) for x in re.findall(r"\d+", listed[1]))
            return list(range(first, last + 1, second - first))
        return [int(x) for x in listed[1].split(", ")] if listed else list(every)

    def line(
        self,
        formula: str,
        limits: str,
        at: Mapping[str, int] = MappingProxyType({}),
        around: Mapping[str, Sequence[int]] = MappingProxyType({}),
    ) -> None:
        """Carry out one line for all of its rows; `at`: in one step of the loop around it."""
        target, sign, body = re.fullmatch(r"(\S+) (\+?=) (.*)", formula).groups()  # type: ignore[union-attr]
        extents: dict[str, Any] = {x: lambda _, of=of: of for x, of in around.items()}
        for limit in re.findall(r"[a-z]\d*[<≤∈](?:\{.*?\}|table\d+\[.*?\]|[^,]+)", limits):
            letter, kind, bound = re.fullmatch(r"([a-z]\d*)([<≤∈])(.*)", limit).groups()  # type: ignore[union-attr]
            if letter not in at:
                extents[letter] = self.extent(kind, bound, extents)
        scope = Scope(self.read, extents, self.tables)
        _, name, indices = Formula(target).tree
        computed = Formula(body)
        bound = {x for over in re.findall(r"(?:Σ|max)_(\S+?)[ (]", body) for x in over.split(",")}
        rows = [letter for letter in extents if letter not in bound and letter not in at]
        results = {}
        for letters in steps(rows, extents, at):
            place = self.place(name, [evaluate(i, scope, letters) for i in indices])
            value = computed(scope, letters)
            before = results.get(place, self.numbers.get(place, 0.0)) if sign == "+=" else 0.0
            assert sign == "+=" or place not in results, (formula, place)
            results[place] = before + value
        self.numbers.update(results)

    def extent(
        self, kind: str, bound: str, around: Mapping[str, Any]
    ) -> Callable[[Mapping[str, Any]], Any]:
        """Return the values of a letter, by the letters of the loops around it."""
        if kind == "∈":
            words = bound.strip("{}").split(", ")
            return lambda _: words
        limit = Formula(f"x[{bound}]").tree[2][0]
        more = kind == "≤"
        scope = Scope(self.read, dict(around), self.tables)
        return lambda letters: range(int(evaluate(limit, scope, letters)) + more)

    def place(self, name: str, indices: list[Any]) -> Any:
        """Return a key for a number: arguments are known by identity, whatever they are called."""
        prefix = re.match(r"(?:[∂#]′*)*", name)[0]  # type: ignore[index]
        name = name.removeprefix(prefix)
        where = [int(i) if isinstance(i, float) else i for i in indices]
        if name.split(".")[0] in self.arguments:
            found = self.find(name, where)
            return prefix, id(found)
        return prefix + name, *where

    def read(self, name: str, indices: tuple[Any, ...]) -> Any:
        """Return the number, or the word, that a name with indices stands for."""
        if name == "samples":
            return float(self.samples or 0)
        if not indices and name.isidentifier() and not self.known(name):
            return name
        place = self.place(name, list(indices))
        if place in self.numbers:
            return self.numbers[place]
        found = self.find(name, list(indices))
        return getattr(found, "data", None) if hasattr(found, "_prev") else float(found)

    def known(self, name: str) -> bool:
        """Whether a name without indices is a number."""
        return name in self.arguments or (name,) in self.numbers

    def find(self, name: str, indices: list[Any]) -> Any:
        """Return an element of the arguments."""
        first, *words = name.split(".")
        found = self.arguments[first]
        if words == ["flat"] or (
            not words and len(indices) == 1 and not isinstance(found, list | np.ndarray)
        ):
            return flat(found)[indices[0]]
        for word in words:
            if isinstance(found, list | tuple):
                found = found[int(word)]
            elif isinstance(found, dict):
                found = found[word]
            else:
                if not hasattr(found, word):
                    # A list of modules is left out of names.
                    found = next(x for x in vars(found).values() if isinstance(x, list))
                    found = found[indices.pop(0)]
                found = getattr(found, word)
        for index in indices:
            found = found[index]
        return found


def formula_and_limits(line: str) -> list[str]:
    """Return what a line says, and how far its letters go."""
    return [*re.split(r" {4,}", line.strip()), ""][:2]


def _word_or_number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        return text if text.isidentifier() and text not in ("inf", "nan") else float(text)


def flat(x: Any) -> list[Any]:
    """Return the numbers of a nested argument in order, Values once."""
    if hasattr(x, "parameters"):
        return list(x.parameters())
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, list | tuple):
        inner = list(itertools.chain.from_iterable(map(flat, x)))
        return list({id(v) if isinstance(v, Value) else i: v for i, v in enumerate(inner)}.values())
    return [x]
