"""Flatten: calls with equal keys are those that one program can serve, whatever their numbers."""

import numpy as np
import pytest

from liftgrad import Value, nn
from liftgrad.lift.call.flatten import flatten, substitute


def key(*arguments):
    """Return the key of a call."""
    return flatten({f"x{i}": x for i, x in enumerate(arguments)}).key


def leaves(*arguments):
    """Return the leaf groups of a call: their kinds, names and numbers."""
    groups = flatten({f"x{i}": x for i, x in enumerate(arguments)}).groups
    return [(g.kind, g.name, g.numbers().tolist()) for g in groups]


def test_a_key_has_structure_and_static_values_and_no_numbers():
    """Names, classes, lengths, shapes and ints are entries; floats and Values leave their class."""
    assert key([Value(1.0), Value(2.0)], 0.5, np.ones((2, 3)), 7) == (
        *("x0", (list, 2), Value),
        *("x1", float),
        *("x2", ("input", (2, 3))),
        *("x3", (int, 7)),
    )


def test_numbers_go_to_groups_by_argument_and_kind():
    """Values and floats of one argument are a group each, and so is each array."""
    assert leaves([Value(1.0), 2.0, (Value(3.0), 4.0)], np.array([[5.0, 6.0]]), np.array([7])) == [
        ("parameter", "x0", [1.0, 3.0]),
        ("input", "x0", [2.0, 4.0]),
        ("input", "x1", [5.0, 6.0]),
        ("index", "x2", [7]),
    ]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1.0, -2.0),
        (np.float64(1.0), 2.0),
        (np.int64(3), 3),
        ([Value(1.0)], [Value(2.0)]),
        (nn.Linear(2, 3), nn.Linear(2, 3)),
        (np.zeros(3), np.ones(3)),
        ([[1.0], [1.0]], [[1.0]] * 2),
    ],
)
def test_one_program_serves_both(a, b):
    """Other numbers, models of the same sizes, and rows that are one list or equal ones."""
    assert key(a) == key(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (1, 2),
        (1, True),
        (1, 1.0),
        ("a", "b"),
        ([1.0], (1.0,)),
        ([1.0], [1.0, 2.0]),
        ({"a": 1.0}, {"b": 1.0}),
        (np.zeros(3), np.zeros(4)),
        (np.zeros(3), np.zeros(3, np.float32)),
        (np.zeros(3), np.zeros(3, int)),
        (nn.Linear(2, 3), nn.Linear(3, 2)),
        (Value(1.0), 1.0),
    ],
)
def test_each_has_a_program_of_its_own(a, b):
    """Static values, classes, lengths, keys, shapes and types of elements distinguish programs."""
    assert key(a) != key(b)


def test_a_value_that_is_met_again_is_the_same_leaf():
    """Two equal Values are two parameters; one Value in two lists is one."""
    v, w = Value(1.0), Value(1.0)
    assert key([v], [v]) != key([v], [w])
    assert leaves([v, v]) == [("parameter", "x0", [1.0])]


def test_substitute_puts_stand_ins_where_the_numbers_were():
    """Containers and objects are copied, and what is met twice has one copy."""
    model = nn.Linear(2, 1)
    model.again = model.weight
    copies, mutable = substitute(
        {"model": model, "x": [1.0, 2]},
        lambda group, first, count: [(group, first + i) for i in range(count)],
        lambda group, _: group,
    )
    copied = copies["model"]
    assert type(copied) is nn.Linear
    assert copied is not model
    assert copied.weight == [[(0, 0), (0, 1)]]
    assert copied.again is copied.weight
    assert copied.bias == [(0, 2)]
    assert copies["x"] == [(1, 0), 2]
    assert {"model", "model.weight", "x"} <= {path for path, _ in mutable}
