"""Variables: which of the user's variables the result of an expression becomes.

    x, y = x + dt * f(x), y - dt * x        what the first addition gives becomes x

An instruction of Python knows which expression of the source it belongs to, and the statement
around that says where its value goes. A value that is returned is followed to where the function
was called.
"""

import ast
import linecache
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path

from liftgrad.lift.trace.sited_tape import Place
from liftgrad.lift.user_code import is_users_file

_LIFT = str(Path(__file__).parents[1]) + os.sep
_Position = tuple[int | None, int | None, int | None, int | None]


def variable(places: Sequence[Place]) -> str | None:
    """Return the variable that a result is assigned to, or None if it is part of something else.

    Args:
        places: where it was computed, where that function was called, and so on.

    """
    way = _Way()
    for code, offset in places:
        if code.co_filename.startswith(_LIFT):
            continue  # a function that is mapped or scanned returns what that gives
        position = next(islice(code.co_positions(), offset // 2, None), None)
        source = _source("".join(linecache.getlines(code.co_filename)))
        if position is None or position not in source.at:
            return None
        if not way.is_returned(source, source.at[position]):
            return way.name if is_users_file(code.co_filename) else None
    return None


@dataclass(slots=True)
class _Source:
    """A file's expressions by their positions, and the node that each node is part of."""

    at: dict[_Position, ast.AST] = field(default_factory=dict)
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)


@dataclass(slots=True)
class _Way:
    """The way of a value through the source."""

    name: str | None = None
    """The variable at its end."""
    within: list[int | None] = field(default_factory=list)
    """Its position in a tuple, that of the tuple in another, and so on; None: in a list of many."""

    def is_returned(self, source: _Source, node: ast.AST) -> bool:
        """Follow an expression's value through a function; return whether it is returned."""
        if isinstance(node, ast.AugAssign):
            self.name = self._assigned(node.target)
            return False
        while True:
            parent = source.parents.get(node)
            match parent:
                case ast.Return() | ast.Lambda():
                    return True
                case ast.Assign(targets=[target, *_]):
                    self.name = self._assigned(target)
                    return False
                case ast.AnnAssign(target=target) | ast.NamedExpr(target=target):
                    self.name = self._assigned(target)
                    return False
                case ast.BinOp(op=ast.Add()) | ast.Starred() if self.within:
                    self.within[-1] = None  # a list, of which a longer one is made
                case ast.Tuple(elts=elements) | ast.List(elts=elements):
                    if not isinstance(node, ast.Starred):
                        self.within.append(elements.index(node))  # type: ignore[arg-type]
                case ast.ListComp() | ast.GeneratorExp():
                    self.within.append(None)
                case ast.Call(func=ast.Name(id="list" | "tuple")) | ast.IfExp():
                    pass
                case ast.Call(func=ast.Attribute(value=values, attr="append")):
                    self.name = self._assigned(values)
                    return False
                case _:
                    return False
            node = parent

    def _assigned(self, target: ast.expr) -> str | None:
        """Return the name of what is assigned to, "k.0" for the first of a tuple k."""
        match target:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                return ".".join([name, *(str(i) for i in self.within[::-1] if i is not None)])
            case ast.Subscript(value=value, slice=ast.Constant(value=int() | str() as key)):
                name_of_value = self._assigned(value)
                return name_of_value and f"{name_of_value}.{key}"
            case ast.Subscript(value=value):
                return self._assigned(value)
            case ast.Tuple(elts=elements) | ast.List(elts=elements) if self.within:
                position = self.within.pop()
                return None if position is None else self._assigned(elements[position])
            case _:
                return None


@lru_cache(maxsize=16)
def _source(text: str) -> _Source:
    """Return a file's expressions; none if its text is not known."""
    source = _Source()
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return source
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            source.parents[child] = node
        if isinstance(node, ast.expr | ast.AugAssign):
            ends = node.lineno, node.end_lineno, node.col_offset, node.end_col_offset
            source.at.setdefault(ends, node)
    return source
