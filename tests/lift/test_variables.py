"""Variables: what the user calls the result of an expression, read off the source."""

import linecache
import sys
from pathlib import Path

import pytest

import liftgrad
from liftgrad.lift.explain.variables import variable
from liftgrad.lift.user_code import frames


class Noted:
    """What is added to one is noted by the variable that it becomes."""

    def __init__(self):
        self.names = []
        self.attribute = None

    def __add__(self, other):
        frame = sys._getframe(1)
        self.names.append(variable([(f.f_code, f.f_lasti) for f in frames(frame)]))
        return self

    __iadd__ = __add__


def stepped(x):
    return x + 1, (x + 2, x + 3)


def passed_on(x):
    return stepped(x)


def assigned(x):
    y = x + 1
    return [y]


def assigned_in_a_sum(x):
    y = len([x + 1]) * 2
    return [y]


def added_to(x):
    x += 1


def unpacked(x):
    a, (b, c) = x + 1, [x + 2, x + 3]
    return a, b, c


def chosen(x):
    y = x + 1 if x else None
    return [y]


def listed(x):
    h = [x + i for i in range(2)]
    g = tuple(x + i for i in range(1))
    return h, g


def joined(x):
    u = [x + 1] + [x + i for i in range(1)]
    v = [x + 2, *[x + i for i in range(1)]]
    return u, v


def stored(x):
    x.attribute = x + 1
    table = [None]
    table[0] = x + 2
    found = []
    found.append(x + 3)
    return table, found


def named_within(x):
    return [(y := x + 1), y]


def annotated(x):
    y: Noted = x + 1
    return [y]


def returned(x):
    a, (b, c) = passed_on(x)
    d = passed_on(x)
    return a, b, c, d


def by_lambda(x):
    step = lambda x: x + 1  # noqa: E731, the point
    y = step(x)
    return [y]


def dropped(x):
    _ = sum(1 for i in range(1) if x + i)
    str(x + 1)


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (assigned, ["y"]),
        (assigned_in_a_sum, [None]),
        (added_to, ["x"]),
        (unpacked, ["a", "b", "c"]),
        (chosen, ["y"]),
        (listed, ["h", "h", "g"]),
        (joined, ["u", "u", "v.0", "v"]),
        (stored, ["attribute", "table.0", "found"]),
        (named_within, ["y"]),
        (annotated, ["y"]),
        (returned, ["a", "b", "c", "d.0", "d.1.0", "d.1.1"]),
        (by_lambda, ["y"]),
        (dropped, [None, None]),
    ],
)
def test_a_result_has_the_name_of_the_variable_it_is_assigned_to(function, names):
    """Directly, in a tuple or a list, and by way of functions that return it."""
    x = Noted()
    function(x)
    assert x.names == names


def test_a_result_has_no_name_where_the_source_is_unknown():
    """As in an interpreter that keeps no history."""
    space = {}
    exec("def assigned(x):\n    y = x + 1\n    return y", space)
    x = Noted()
    space["assigned"](x)
    assert x.names == [None]


def test_what_a_library_computes_on_its_way_is_no_variable_of_the_users():
    """What it returns is."""

    def function(x):
        y = first_sum([x, x])
        return [y]

    space = {}
    text = "def first_sum(xs):\n    z = xs[0] + 1\n    return z + xs[1]"
    name = str(Path(liftgrad.__file__).with_name("no_module.py"))
    linecache.cache[name] = len(text), None, text.splitlines(keepends=True), name
    exec(compile(text, name, "exec"), space)
    first_sum = space["first_sum"]
    x = Noted()
    function(x)
    assert x.names == [None, "y"]
