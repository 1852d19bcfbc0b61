"""Derivatives of functions: grad, value_and_grad, jacobian, hessian and hvp, as JAX names them.

>>> grad(lambda x: x**3)(2.0), grad(grad(lambda x: x**3))(2.0)
(12.0, 12.0)

They run the function on `Variable`s, which record what happens to them and compute on what they
stand for: a float, a Value, a traced value, or a Variable of a derivative further out. The reverse
pass computes on the same, so derivatives of floats are floats; where Values are involved,
arguments or captured, derivatives are Values with a graph; and where traced values are, they
are recorded like everything else in a lifted function.

A recorded function computes both branches of a `where` and all rows that `take` may read. What is
not taken has the adjoint zero, but zero times an infinite derivative is nan; so the reverse pass
keeps the condition under which anything takes a Variable, and selects zero where nothing does.
"""

import itertools
from collections.abc import Callable, Sequence
from functools import wraps
from operator import attrgetter, index
from typing import Any, ParamSpec, TypeVar

from liftgrad import ops
from liftgrad.functional import uniform
from liftgrad.numbers import is_number, kind_of, to_float
from liftgrad.operators import Operators
from liftgrad.ops import Operation
from liftgrad.protocols import stands_for_number

P = ParamSpec("P")
R = TypeVar("R")


def grad(fn: Callable[P, Any], argnums: int | Sequence[int] = 0) -> Callable[P, Any]:
    """Return the function that gives the gradient of `fn`, which returns one number.

    >>> grad(lambda p, x: p["w"] * x + p["b"])({"w": 2.0, "b": 1.0}, 5.0)
    {'w': 5.0, 'b': 1.0}

    Args:
        fn: a function of numbers, Values, traced values or nested lists, tuples, dicts and arrays
            of them; arguments that are not differentiated may be anything.
        argnums: the position of the argument to differentiate by, or several.

    Returns:
        a function of the same arguments; its result has the structure of the differentiated
        argument, arrays being lists; for several `argnums`, it is a tuple of such.

    Raises:
        TypeError: when called, if `fn` does not return one number or the differentiated
            argument does not consist of numbers.
        ValueError: when called, if there is no argument at a position in `argnums`.

    """
    value_and_gradient = value_and_grad(fn, argnums)

    @wraps(fn)
    def gradient(*arguments: P.args, **keywords: P.kwargs) -> Any:
        return value_and_gradient(*arguments, **keywords)[1]

    return gradient


def value_and_grad(
    fn: Callable[P, R], argnums: int | Sequence[int] = 0
) -> Callable[P, tuple[R, Any]]:
    """Return the function that gives (fn's result, fn's gradient); see `grad`.

    >>> value_and_grad(lambda x, y: x * y, argnums=(0, 1))(3.0, 4.0)
    (12.0, (4.0, 3.0))
    """

    @wraps(fn)
    def value_and_gradient(*arguments: P.args, **keywords: P.kwargs) -> tuple[R, Any]:
        result, variables, level = _run(fn, argnums, arguments, keywords)
        if not _is_scalar(result):
            raise TypeError(
                "grad() differentiates functions that return one number, and this one returned "
                f"{kind_of(result)}; return a single number, or use jacobian()."
            )
        value = result.primal if _is_at(level, result) else result
        return value, _gradient(result, variables, level)

    return value_and_gradient


def jacobian(fn: Callable[P, Any], argnums: int | Sequence[int] = 0) -> Callable[P, Any]:
    """Return the function that gives all derivatives of all numbers that `fn` returns.

    Its result has the structure of fn's result, with the structure of the differentiated argument
    in place of each number. It takes one reverse pass for each number that `fn` returns.

    >>> jacobian(lambda x: [x[0] * x[1], x[0] + x[1]])([3.0, 4.0])
    [[4.0, 3.0], [1.0, 1.0]]

    Args:
        fn: as for `grad`, but it may return nested lists, tuples and dicts of numbers.
        argnums: as for `grad`.

    """

    @wraps(fn)
    def derivatives(*arguments: P.args, **keywords: P.kwargs) -> Any:
        result, variables, level = _run(fn, argnums, arguments, keywords)
        return _map(lambda y: _gradient(_number(y, "a result"), variables, level), result)

    return derivatives


def hessian(fn: Callable[P, Any], argnums: int | Sequence[int] = 0) -> Callable[P, Any]:
    """Return the function that gives the second derivatives of `fn`: the Jacobian's Jacobian.

    >>> hessian(lambda x: x[0] ** 2 * x[1])([3.0, 4.0])
    [[8.0, 6.0], [6.0, 0.0]]
    """
    return jacobian(jacobian(fn, argnums), argnums)


def hvp(fn: Callable[..., Any], primals: Any, vector: Any) -> Any:
    """Return the Hessian of `fn` at `primals` times `vector`, without making the Hessian.

    It is the gradient of grad(fn)·vector, reverse over reverse. Forward over reverse would
    not save operations here: rules for forward mode would have to be had from the pullbacks.

    >>> hvp(lambda x: x[0] ** 2 * x[1], ([3.0, 4.0],), ([1.0, 0.0],))
    [8.0, 6.0]

    Args:
        fn: a function that returns one number.
        primals: the tuple of fn's arguments, all of numbers; what is no tuple is the one argument.
        vector: the same structure, of the direction's numbers.

    Returns:
        the derivative of `grad(fn)(*primals)` in that direction; it has the structure of fn's
        first argument, as that of jax.jvp(jax.grad(fn), primals, vector)[1].

    Raises:
        ValueError: if primals and vector differ in structure.

    """
    if not isinstance(primals, tuple):
        primals, vector = (primals,), (vector,)
    if _map(lambda _: None, primals) != _map(lambda _: None, vector):
        raise ValueError(
            "the vector of hvp() has another structure than the primals; "
            "give it one number for each of theirs."
        )
    gradient = grad(fn, range(len(primals)))

    def slope(*arguments: Any) -> Any:
        return ops.dot(*_leaves(gradient(*arguments)), *_leaves(vector))

    return grad(slope)(*primals)


_numbers = itertools.count()
"""Numbers levels and Variables in the order in which they come to be."""


class Variable(Operators):
    """A number while a derivative is taken by it, or by what it was made of.

    Its level tells which derivative. Among Variables of several levels, an operation belongs to
    the innermost, the highest level; the others are constants to it and part of what it
    computes on. So the derivatives of nested functions cannot be mistaken for each other.

    """

    __slots__ = ("_conditions", "_level", "_order", "_prev", "_pullback", "primal")

    primal: Any
    """The number that it stands for: a float, Value, traced value or Variable of a lower level."""
    _prev: tuple[Any, ...]
    """The operands; none for what the derivative is taken by."""

    def __init__(
        self,
        primal: Any,
        level: int,
        _prev: tuple[Any, ...] = (),
        _pullback: Callable[..., Any] | None = None,
        _conditions: Callable[[], Sequence[Any]] | None = None,
    ) -> None:
        self.primal = primal
        self._level = level
        self._order = next(_numbers)
        self._prev = _prev
        self._pullback = _pullback
        self._conditions = _conditions

    def _apply(self, operation: Operation, *operands: Any) -> "Variable":
        if operation.pullback is None:
            raise TypeError(
                f"the operation {operation.name!r} has no derivative rule; use operations that "
                "have one, or give this one a pullback in liftgrad.ops."
            )
        if operation.constant:
            level = max([x._level for x in operands if x.__class__ is Variable])
            return Variable(operation(*_primals(level, operands)), level)
        if operation is not ops.select:
            return self._record(operation, operation.pullback, operands)
        # A traced condition selects, and is negated, by methods of its own.
        condition = operands[0]
        return self._record(
            ops.where, operation.pullback, operands, lambda: (True, condition, condition._negated())
        )

    def _record(
        self,
        function: Callable[..., Any],
        pullback: Callable[..., Any],
        operands: tuple[Any, ...],
        conditions: Callable[[], Sequence[Any]] | None = None,
    ) -> "Variable":
        """Return function(*operands), whose derivative rule is `pullback(g, y, *operands)`.

        `conditions` gives for each operand the traced condition under which it is taken, or True.
        """
        level = max([x._level for x in operands if x.__class__ is Variable])
        primal = function(*_primals(level, operands))
        return Variable(primal, level, operands, pullback, conditions)

    def _constant(self, number: float) -> "Variable":
        return Variable(number, self._level)

    def _uniform(self) -> Any:
        return uniform(self.primal)

    @property
    def data(self) -> Any:
        """The number with its gradient stopped."""
        return getattr(self.primal, "data", self.primal)

    def __lt__(self, other: Any) -> Any:
        return self.primal < _primal(other)

    def __le__(self, other: Any) -> Any:
        return self.primal <= _primal(other)

    def __gt__(self, other: Any) -> Any:
        return self.primal > _primal(other)

    def __ge__(self, other: Any) -> Any:
        return self.primal >= _primal(other)

    def __eq__(self, other: object) -> Any:  # as that of Values
        if isinstance(other, Operators):
            return self is other
        return self.primal == other

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        return self.primal.__class__ is float or bool(self.primal)

    def __float__(self) -> Any:  # refused by what is inside, which may know a line
        return super().__float__() if self.primal.__class__ is float else float(self.primal)

    __int__ = __float__

    def __format__(self, specification: str) -> str:
        return format(self.primal, specification) if specification else repr(self)

    def __repr__(self) -> str:
        return f"Variable({self.primal!r})"


def _primal(x: Any) -> Any:
    return x.primal if isinstance(x, Variable) else x


def _is_at(level: int, x: Any) -> bool:
    return x.__class__ is Variable and x._level == level


def _primals(level: int, operands: Sequence[Any]) -> list[Any]:
    return [x.primal if x.__class__ is Variable and x._level == level else x for x in operands]


def _run(
    fn: Callable[..., Any],
    argnums: int | Sequence[int],
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
) -> tuple[Any, Any, int]:
    """Return fn's result on Variables of a new level, these Variables, and the level."""
    level = next(_numbers)
    named = argnums if isinstance(argnums, Sequence) else [argnums]
    positions = [_position(argnum, len(arguments)) for argnum in named]
    if len(set(positions)) != len(positions):
        raise ValueError(f"argnums={argnums!r} names an argument twice; name each once.")

    def variable(x: Any) -> Variable:
        return Variable(_number(x, "an argument to differentiate by"), level)

    passed = list(arguments)
    for position in positions:
        passed[position] = _map(variable, arguments[position])
    result = fn(*passed, **keywords)
    differentiated = tuple(passed[position] for position in positions)
    return result, differentiated if named is argnums else differentiated[0], level


def _position(argnum: int, count: int) -> int:
    if not -count <= index(argnum) < count:
        raise ValueError(
            f"argnums names the argument {argnum} of a call with {count} positional arguments; "
            "pass what is differentiated by position, the first being 0."
        )
    return index(argnum) % count


def _number(x: Any, role: str) -> Any:
    """Return a Value or traced value as it is, and any number as a float."""
    if isinstance(x, Operators):
        return x
    if not is_number(x):
        raise TypeError(
            f"{role} consists of numbers in lists, tuples and dicts, and this one has "
            f"{kind_of(x)}; pass its numbers instead."
        )
    return to_float(x)


def _is_scalar(x: Any) -> bool:
    return isinstance(x, Operators) or is_number(x)


def _gradient(result: Any, variables: Any, level: int) -> Any:
    """Return the derivatives of a number by a structure of Variables."""
    adjoints = _adjoints(result) if _is_at(level, result) else {}

    def derivative(variable: Variable) -> Any:
        adjoint = adjoints.get(variable, 0.0)
        # A derivative that happens to be constant is of the same kind as the others.
        plain = type(adjoint) is float or stands_for_number(adjoint)
        kind = variable.primal if plain else None
        return kind._constant(adjoint) if isinstance(kind, Operators) else adjoint

    return _map(derivative, variables)


def _adjoints(result: Variable) -> dict[Variable, Any]:
    """Return the derivatives of `result` by the Variables that it was made of, its leaves."""
    level = result._level
    adjoints: dict[Variable, Any] = {result: 1.0}
    taken: dict[Variable, Any] = {result: True}
    for variable in _made_of(result):
        operands, condition = variable._prev, taken.pop(variable)
        pullback: Any = variable._pullback
        parts = pullback(adjoints.pop(variable), variable.primal, *_primals(level, operands))
        conditions: Sequence[Any] = [True] * len(operands)
        if variable._conditions is not None and any(_is_made(level, x) for x in operands):
            conditions = variable._conditions()
        part_for = getattr(innermost(variable), "_part_for", None)
        for operand, part, own in zip(operands, parts, conditions, strict=True):
            if not _is_at(level, operand):
                continue
            if condition is not True and pullback not in _LINEAR:
                part = _selected(condition, part)  # noqa: PLW2901
            owed = part if part_for is None else part_for(operand, part)
            adjoints[operand] = _sum(adjoints.get(operand, 0.0), owed)
            if operand._pullback is not None:
                mine = _both(condition, own)
                if mine is not True and part_for is not None:
                    mine = _for_operand(mine, operand, part_for)
                taken[operand] = _either(taken[operand], mine) if operand in taken else mine
    return adjoints


def _made_of(result: Variable) -> list[Variable]:
    """Return the Variables that have a rule and that a result was made of, itself first.

    What is used was there before its users: from the last to the first, all users of a Variable
    have had their turn, and its adjoint is complete, before it has its own.
    """
    level = result._level
    reached = {result}
    stack = [result]
    while stack:
        for operand in stack.pop()._prev:
            if _is_at(level, operand) and operand not in reached:
                reached.add(operand)
                stack.append(operand)
    made = [variable for variable in reached if variable._pullback is not None]
    return sorted(made, key=attrgetter("_order"), reverse=True)


_LINEAR = frozenset(operation.pullback for operation in ops.LINEAR)


def _is_made(level: int, x: Any) -> bool:
    return _is_at(level, x) and x._pullback is not None


def _selected(condition: Any, part: Any) -> Any:
    """Return the part where the condition holds, else zero."""
    zero = type(part) is float and part == 0.0
    return part if zero else ops.where(condition, part, 0.0)


def _for_operand(condition: Any, operand: Variable, part_for: Callable[..., Any]) -> Any:
    """Return the condition for an operand; for one that all samples share: whether any takes it."""
    count = ops.where(condition, 1.0, 0.0)
    counted = part_for(operand, count)
    return condition if counted is count else counted > 0.0


def _both(a: Any, b: Any) -> Any:
    """Return a and b, each a traced condition or True."""
    if a is True or b is True:
        return b if a is True else a
    return a & b


def _either(a: Any, b: Any) -> Any:
    """Return a or b, each a traced condition or True."""
    return True if a is True or b is True else a | b


def innermost(x: Any) -> Any:
    """Return the float, Value or traced value that a Variable stands for in the end."""
    while isinstance(x, Variable):
        x = x.primal
    return x


def _sum(a: Any, b: Any) -> Any:
    """Return a + b, without recording the addition of a known zero."""
    if type(b) is float and b == 0.0:
        return a
    return b if type(a) is float and a == 0.0 else a + b


def _map(function: Callable[[Any], Any], tree: Any) -> Any:
    """Return nested lists, tuples and dicts with `function` applied to what they hold."""
    if isinstance(tree, dict):
        return {key: _map(function, x) for key, x in tree.items()}
    if isinstance(tree, tuple):
        items = [_map(function, x) for x in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else tuple(items)
    if isinstance(tree, list) or getattr(tree, "ndim", False):
        return [_map(function, x) for x in tree]
    return function(tree)


def _leaves(tree: Any) -> list[Any]:
    leaves: list[Any] = []
    _map(leaves.append, tree)
    return leaves
