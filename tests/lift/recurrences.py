"""Random functions of scalars that go forward in time, as Python's text."""

import linecache
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from liftgrad import Value, functional
from liftgrad.lift.stand_ins.vmap import vmap

_BEGINNINGS = ("p[0]", "0.5", "1.0", "p[1] * x[0]", "0.0", "sin(p[1])")
_INNER = "u = [u[0], *[{} for i in range(1, 4)], {}]"
_ROWS = (
    "[p[0] * 0.1 * i for i in range(5)]",
    "[0.0] * 5",
    "[x[i % len(x)] for i in range(5)]",
    "[p[0], 0.5, x[0], p[0] * x[1], 0.0]",
)
_INSIDE = (
    "u[i] + 0.1 * (u[i - 1] - 2 * u[i] + u[i + 1])",
    "tanh(u[i] * u[i - 1] + s0)",
    "u[i + 1]",
)
_LAST = ("u[4]", "u[4] * p[1]", "s0")
_LAYER = (
    "u = [tanh(sum(a * b for a, b in zip([*u[1:], x[i % len(x)], s0], [*p, 0.3, *p])))"
    " for i in range(5)]"
)
_RAGGED = ("t % 3", "t % 2 + 1", "min(t, 3)", "(t == 4) * 2")


def recurrence(seed: int) -> tuple[str, Callable[..., Any], list[Any]]:
    """Return a random function's text, the function, and arguments for it."""
    writer = _Writer(random.Random(seed))
    text = writer.text()
    name = f"<recurrence {seed}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    space = {**vars(functional), "vmap": vmap}
    exec(compile(text, name, "exec"), space)
    x = np.linspace(0.1, 0.9, 12)
    parameters = [Value(1.1), Value(0.7), Value(0.4)]
    return text, space["f"], [parameters, x.reshape(4, 3) if writer.mapped else x, np.array([1, 2])]


class _Writer:
    """Writes a function of parameters p, numbers x and indices k, with loops over t, q and j."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.one_of = rng, lambda *options: rng.choice(options)
        self.lines: list[str] = []
        self.mapped = rng.random() < 0.25
        self.counters: list[str] = []
        self.states = [f"s{i}" for i in range(rng.randint(1, 3))]
        self.has_row = rng.random() < 0.5
        self.flags = False

    def text(self) -> str:
        """Return the function's text."""
        rng = self.rng
        self.lines += [f"    {s} = {rng.choice(_BEGINNINGS)}" for s in self.states]
        if self.has_row:
            self.lines.append(f"    u = {rng.choice(_ROWS)}")
        self.lines.append("    out, kept, flag = [], [p[0], p[1] * 0.5], p[0] < p[1]")
        self.loop(str(rng.choice([1, 2, 3, 5, 8, 12, 23])), "t", 1)
        if rng.random() < 0.3:
            self.loop(str(rng.choice([2, 5, 9])), "q", 1)
        results = [*self.states, "sum(out)", *(["sum(u)"] if self.has_row else [])]
        results = rng.sample(results, rng.randint(1, len(results)))
        results += [x for x in ("kept[-1]", "where(flag, 1.0, p[1])") if rng.random() < 0.25]
        body = [*self.lines, f"    return {' + '.join(results)}"]
        if not self.mapped:
            return "\n".join(["def f(p, x, k):", *body])
        mean = "    return total(vmap(lambda x: g(p, x, k))(X))"
        return "\n".join(["def g(p, x, k):", *body, "def f(p, X, k):", mean])

    def loop(self, count: str, counter: str, depth: int) -> None:
        """Write a loop with some statements."""
        self.lines.append(f"{'    ' * depth}for {counter} in range({count}):")
        self.counters.append(counter)
        for _ in range(self.rng.randint(1, 4)):
            self.statement(depth + 1)
        self.counters.pop()

    def statement(self, depth: int) -> None:
        """Write a statement."""
        rng = self.rng
        names = [*self.states, "kept[-1]", "kept[-2]"]
        if self.has_row:
            names += [f"u[{rng.choice([0, 2, -1])}]"]
        state, value = rng.choice(self.states), self.expression(names, 2)
        lines = {
            f"{state} = {rng.choice(['tanh', '', 'sin'])}({value})": 9,
            f"{state} = {state} + {value}": 2,
            f"kept = [*kept[-3:], {state}]": 1,
            f"if {self.test()}: out.append({value})": 1,
            f"if {self.test()}: {state} = {value}": 1,
            f"flag = {self.atom(names)} < {self.atom(names)}": 1,
        }
        if self.has_row:
            lines |= {
                f"u[{self.place('5')}] = {value}": 1,
                _INNER.format(rng.choice(_INSIDE), rng.choice(_LAST)): 2,
                _LAYER: 1,
                f"for i in range(1, 5): u[i] = u[i] * 0.5 + u[i - 1] * {self.atom(names)}": 1,
            }
        (line,) = rng.choices(list(lines), list(lines.values()))
        self.flags = self.flags or line.startswith("flag")
        if depth < 4 and rng.random() < 0.15:
            ragged = depth == 2 and self.counters[0] == "t" and rng.random() < 0.3
            count = rng.choice(_RAGGED) if ragged else str(rng.randint(2, 4))
            self.loop(count, f"j{depth}", depth)
        else:
            self.lines.append("    " * depth + line)

    def expression(self, names: list[str], depth: int) -> str:
        """Return an expression."""
        rng = self.rng
        if depth == 0 or rng.random() < 0.15:
            return self.atom(names)
        a, b, c, d = (self.expression(names, depth - 1) for _ in range(4))
        options = {
            f"{a} + {b}": 6,
            f"({a}) * ({b})": 4,
            f"({a}) - ({b})": 2,
            f"{rng.choice(['sin', 'tanh', 'cos'])}({a})": 2,
            f"sum([{a}, {b}, {c}])": 1,
            f"dot([{a}, {b}], [{c}, {d}])": 1,
            f"maximum({a}, {b})": 1,
            f"logsumexp([{a}, {b}])": 1,
            f"where({self.condition(names)}, {a}, {b})": 1,
            f"take([{a}, {b}, {c}], k[{rng.choice([0, 1])}])": 1,
            f"(({a}) if {self.test()} else ({b}))": 1,
        }
        (chosen,) = rng.choices(list(options), list(options.values()))
        return chosen

    def condition(self, names: list[str]) -> str:
        """Return a condition on numbers, which may be one of an earlier step."""
        if self.flags and self.rng.random() < 0.4:
            return "flag"
        return f"({self.atom(names)} < {self.atom(names)})"

    def atom(self, names: list[str]) -> str:
        """Return a number that is there."""
        given = ["p[0]", "p[1]", f"p[{self.place('len(p)')}]", f"x[{self.place('len(x)')}]"]
        return self.rng.choice([*names * 3, *given, "0.5", "0.25", "1.0", "0.0"])

    def place(self, size: str) -> str:
        """Return a position in a list that depends on the iteration."""
        t = self.rng.choice(self.counters or ["0"])
        return self.one_of(
            f"{t} % {size}", f"({size} - 1 - {t}) % {size}", f"(3 * {t} + 1) % {size}", "0"
        )

    def test(self) -> str:
        """Return a question about the iteration."""
        t = self.rng.choice(self.counters or ["0"])
        return self.one_of(f"{t} == 0", f"{t} % 2", f"{t} % 5 == 3", f"{t} > 2", f"{t} == 4")
