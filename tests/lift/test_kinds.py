"""Kinds: whoever goes by the kinds of groups or expressions says what becomes of each of them.

A `match` that ends in `assert_never` is refused by the type checker as soon as there is another
kind. Who asks for one kind alone uses `isinstance`.
"""

import ast
from pathlib import Path
from typing import get_args

import pytest

import liftgrad
from liftgrad.lift.ir.groups import Group
from liftgrad.lift.ir.nests import Expression
from liftgrad.lift.scheduling.draft import Draft

KINDS = {kind.__name__ for union in (Group, Expression, Draft) for kind in get_args(union)}
MODULES = sorted(Path(liftgrad.__file__).parent.rglob("*.py"))


def matches(source):
    """The matches on kinds in some source code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Match):
            patterns = [x for case in node.cases for x in ast.walk(case.pattern)]
            classes = [x.cls for x in patterns if isinstance(x, ast.MatchClass)]
            if any(isinstance(cls, ast.Name) and cls.id in KINDS for cls in classes):
                yield node


def is_exhaustive(match):
    last = match.cases[-1]
    ending = f"assert_never({ast.unparse(match.subject)})"
    return ast.unparse(last.pattern) == "_" and ast.unparse(last.body) == ending


def test_every_match_on_kinds_ends_in_assert_never():
    """So that mypy lists the places that a new kind has to be thought of in."""
    found = [(path, match) for path in MODULES for match in matches(path.read_text("utf-8"))]
    assert len(found) > 20
    assert [f"{path}:{match.lineno}" for path, match in found if not is_exhaustive(match)] == []


@pytest.mark.parametrize(
    ("ending", "exhaustive"),
    [
        ("case _:\n  assert_never(x)", True),
        ("case _:\n  pass", False),
        ("case Number():\n  pass", False),
        ("case _:\n  assert_never(y)", False),
    ],
)
def test_a_match_that_ends_otherwise_is_caught(ending, exhaustive):
    """Also one that is exhaustive today, and one that asserts something of another variable."""
    (match,) = matches(f"match x:\n case Load():\n  pass\n {ending}")
    assert is_exhaustive(match) == exhaustive
