"""Derivatives of functions: grad, value_and_grad, jacobian, hessian and hvp, as JAX names them.

>>> grad(lambda x: x**3)(2.0), grad(grad(lambda x: x**3))(2.0)
(12.0, 12.0)

They run the function on `Variable`s, which record operations and compute on their primals: floats,
Values, traced values, or Variables of an enclosing derivative. The reverse pass computes on primals
too, so derivatives of floats are floats; where Values are involved, as arguments or captured,
derivatives are Values with a graph; and where traced values are, derivatives are recorded like
everything else in a lifted function.

A recorded function computes both branches of a `where` and all rows that `take` may read. A branch
that is not selected has the adjoint zero, but zero times an infinite derivative is nan. So the
reverse pass keeps, for each Variable, the condition under which any operation uses it, and selects
zero where none does.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from operator import attrgetter, index
from typing import Any, ParamSpec, TypeVar

from liftgrad import ops
from liftgrad.numbers import is_number, kind_of, to_float
from liftgrad.operators import Operators
from liftgrad.protocols import stands_for_number
from liftgrad.variable import Variable, creation_order, innermost, is_at, primals

P = ParamSpec("P")
R = TypeVar("R")


def grad(fn: Callable[P, Any], argnums: int | Sequence[int] = 0) -> Callable[P, Any]:
    """Return the gradient of `fn`, a function that returns one number.

    >>> grad(lambda p, x: p["w"] * x + p["b"])({"w": 2.0, "b": 1.0}, 5.0)
    {'w': 5.0, 'b': 1.0}

    Args:
        fn: a function of numbers, Values, traced values or nested lists, tuples, dicts and arrays
            of them; the other arguments may be anything.
        argnums: the position of the argument to differentiate with respect to, or several of them.

    Returns:
        a function of the same arguments; its result has the structure of the differentiated
        argument, with lists for arrays; for several `argnums`, it is a tuple of such.

    Raises:
        TypeError: when called, if `fn` does not return one number or the differentiated
            argument does not consist of numbers.
        ValueError: when called, if `argnums` names a position without an argument.

    """
    value_and_gradient = value_and_grad(fn, argnums)

    @wraps(fn)
    def gradient(*arguments: P.args, **keywords: P.kwargs) -> Any:
        return value_and_gradient(*arguments, **keywords)[1]

    return gradient


def value_and_grad(
    fn: Callable[P, R], argnums: int | Sequence[int] = 0
) -> Callable[P, tuple[R, Any]]:
    """Return a function that returns (fn's result, fn's gradient); see `grad`.

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
        value = result.primal if is_at(level, result) else result
        return value, _gradient(result, variables, level)

    return value_and_gradient


def jacobian(fn: Callable[P, Any], argnums: int | Sequence[int] = 0) -> Callable[P, Any]:
    """Return the Jacobian of `fn`: the derivatives of all numbers that it returns.

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
    """Return the second derivatives of `fn`: the Jacobian of its Jacobian.

    >>> hessian(lambda x: x[0] ** 2 * x[1])([3.0, 4.0])
    [[8.0, 6.0], [6.0, 0.0]]
    """
    return jacobian(jacobian(fn, argnums), argnums)


def hvp(fn: Callable[..., Any], primals: Any, vector: Any) -> Any:
    """Return the Hessian of `fn` at `primals` times `vector`, without computing the Hessian.

    It is the gradient of grad(fn)·vector, reverse over reverse. Forward over reverse would not save
    operations here: its rules would have to be derived from the pullbacks.

    >>> hvp(lambda x: x[0] ** 2 * x[1], ([3.0, 4.0],), ([1.0, 0.0],))
    [8.0, 6.0]

    Args:
        fn: a function that returns one number.
        primals: the tuple of fn's arguments, all of numbers, or fn's only argument.
        vector: the direction, of the same structure.

    Returns:
        the derivative of `grad(fn)(*primals)` in that direction; like
        jax.jvp(jax.grad(fn), primals, vector)[1], it has the structure of fn's first argument.

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


def _run(
    fn: Callable[..., Any],
    argnums: int | Sequence[int],
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
) -> tuple[Any, Any, int]:
    """Return fn's result on Variables of a new level, the Variables, and the level."""
    level = next(creation_order)
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
    """Return a Value or traced value unchanged, and any other number as a float."""
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
    """Return the derivatives of a number with respect to a structure of Variables."""
    adjoints = adjoints_of(result) if is_at(level, result) else {}

    def derivative(variable: Variable) -> Any:
        adjoint = adjoints.get(variable, 0.0)
        # A constant derivative has the same type as the others.
        plain = type(adjoint) is float or stands_for_number(adjoint)
        kind = variable.primal if plain else None
        return kind._constant(adjoint) if isinstance(kind, Operators) else adjoint

    return _map(derivative, variables)


def adjoints_of(result: Variable) -> dict[Variable, Any]:
    """Return the adjoints of the leaves that `result` depends on."""
    level = result._level
    adjoints: dict[Variable, Any] = {result: 1.0}
    used: dict[Variable, Any] = {result: True}
    """The condition under which any operation uses a Variable, or True."""
    pulled = None
    for variable in _made_of(result):
        operands, condition = variable._prev, used.pop(variable)
        number = innermost(variable)
        pulled = getattr(number, "_pulled", None)
        if pulled is not None:
            pulled(number)
        pullback: Any = variable._pullback
        terms = pullback(adjoints.pop(variable), variable.primal, *primals(level, operands))
        conditions: Sequence[Any] = [True] * len(operands)
        if variable._conditions is not None and any(_is_made(level, x) for x in operands):
            conditions = variable._conditions()
        term_for = getattr(number, "_term_for", None)
        for operand, term, own in zip(operands, terms, conditions, strict=True):
            if not is_at(level, operand):
                continue
            if condition is not True and pullback not in _LINEAR:
                term = _selected(condition, term)  # noqa: PLW2901
            owed = term if term_for is None else term_for(operand, term)
            adjoints[operand] = _sum(adjoints.get(operand, 0.0), owed)
            if operand._pullback is not None:
                mine = _both(condition, own)
                if mine is not True and term_for is not None:
                    mine = _for_operand(mine, operand, term_for)
                used[operand] = _either(used[operand], mine) if operand in used else mine
    if pulled is not None:
        pulled(None)
    return adjoints


def _made_of(result: Variable) -> list[Variable]:
    """Return a result and the Variables that it depends on, without the leaves, latest first.

    An operand is created before the operations that use it. So in this order, the adjoint of each
    Variable is complete when its turn comes.
    """
    level = result._level
    reached = {result}
    stack = [result]
    while stack:
        for operand in stack.pop()._prev:
            if is_at(level, operand) and operand not in reached:
                reached.add(operand)
                stack.append(operand)
    made = [variable for variable in reached if variable._pullback is not None]
    return sorted(made, key=attrgetter("_order"), reverse=True)


_LINEAR = frozenset(operation.pullback for operation in ops.LINEAR)


def _is_made(level: int, x: Any) -> bool:
    return is_at(level, x) and x._pullback is not None


def _selected(condition: Any, term: Any) -> Any:
    """Return a term where the condition holds, else zero."""
    zero = type(term) is float and term == 0.0
    return term if zero else ops.where(condition, term, 0.0)


def _for_operand(condition: Any, operand: Variable, term_for: Callable[..., Any]) -> Any:
    """Return the condition for an operand; for one that all samples share: whether any uses it."""
    count = ops.where(condition, 1.0, 0.0)
    counted = term_for(operand, count)
    return condition if counted is count else counted > 0.0


def _both(a: Any, b: Any) -> Any:
    """Return a and b, each a traced condition or True."""
    if a is True or b is True:
        return b if a is True else a
    return a & b


def _either(a: Any, b: Any) -> Any:
    """Return a or b, each a traced condition or True."""
    return True if a is True or b is True else a | b


def _sum(a: Any, b: Any) -> Any:
    """Return a + b, without recording the addition of a known zero."""
    if type(b) is float and b == 0.0:
        return a
    return b if type(a) is float and a == 0.0 else a + b


def _map(function: Callable[[Any], Any], tree: Any) -> Any:
    """Return nested lists, tuples and dicts with `function` applied to their leaves."""
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
