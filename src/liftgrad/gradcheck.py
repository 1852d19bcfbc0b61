"""Gradient checks: `backward()` against central differences, with a report of disagreements."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from liftgrad.engine import Value
from liftgrad.errors import GradcheckError
from liftgrad.numbers import to_float


def gradcheck(
    fn: Callable[..., Any],
    *inputs: Any,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-4,
    order: int = 1,
) -> bool:
    """Return True if `fn`'s derivatives agree with central differences for all inputs.

    >>> gradcheck(lambda x, y: x * y.exp(), 2.0, 3.0)
    True

    Args:
        fn: a function of the inputs that returns a Value or a nested list of them.
        inputs: floats, Values or nested lists of them. Leaf Values are changed in place while
            `fn` runs and restored, so `fn` may ignore its arguments and use the Values: to check
            a model, pass `model.parameters()`.
        eps: the step to either side of each input, times its size where that is above 1.
        atol: the absolute difference that is tolerated.
        rtol: the further difference that is tolerated, relative to the derivative. PyTorch's
            1e-3 would accept a rule that is wrong by 0.1 %.
        order: 2 checks second derivatives too, through `create_graph`; and so on.

    Raises:
        GradcheckError: if derivatives disagree, with a table of them.
        TypeError: if inputs or results are not numbers.
        ValueError: if `order` is less than 1.

    """
    if order < 1:
        raise ValueError(f"there is no derivative of order {order} to check; pass 1 or more.")
    arguments = _as_values(inputs, leaves_only=True)
    leaves = dict(_named_values(arguments, "inputs"))
    kept = [(leaf, leaf.data, leaf.grad) for leaf in leaves.values()]
    function = fn
    try:
        for current in range(1, order + 1):
            _check(function, arguments, leaves, _Tolerance(eps, atol, rtol), current)
            function = _gradient(function, leaves)
    finally:
        for leaf, data, grad in kept:
            leaf.data, leaf.grad = data, grad
    return True


class _Tolerance(NamedTuple):
    eps: float
    atol: float
    rtol: float


class _Disagreement(NamedTuple):
    result: str
    input: str
    backward: float
    differences: float
    tolerance: float


def _check(
    fn: Callable[..., Any],
    arguments: list[Any],
    leaves: dict[str, Value],
    tolerance: _Tolerance,
    order: int,
) -> None:
    results = dict(_named_values(_as_values(fn(*arguments)), "result"))
    # Differences give the Jacobian's columns, backward() its rows.
    numeric = {
        name: _central_difference(fn, arguments, leaf, tolerance.eps)
        for name, leaf in leaves.items()
    }
    disagreements = []
    for position, (result_name, result) in enumerate(results.items()):
        for leaf in leaves.values():
            leaf.grad = 0.0
        result.backward()
        for name, leaf in leaves.items():
            differences = numeric[name][position]
            allowed = tolerance.atol + tolerance.rtol * abs(differences)
            if not abs(leaf.grad - differences) <= allowed:  # a nan is a disagreement too
                disagreements.append(
                    _Disagreement(result_name, leaf.label or name, leaf.grad, differences, allowed)
                )
    if disagreements:
        raise GradcheckError(_report(disagreements, len(results) * len(leaves), order))


def _central_difference(
    fn: Callable[..., Any], arguments: list[Any], leaf: Value, eps: float
) -> list[float]:
    """Return the derivatives of all results with respect to one leaf."""
    centre = leaf.data
    # The step in floating point is not exactly 2·eps.
    step = eps * max(1.0, abs(centre))
    above, below = centre + step, centre - step
    sides = []
    for leaf.data in (above, below):
        sides.append([v.data for _, v in _named_values(_as_values(fn(*arguments)), "result")])
    leaf.data = centre
    return [(a - b) / (above - below) for a, b in zip(*sides, strict=True)]


def _gradient(fn: Callable[..., Any], leaves: dict[str, Value]) -> Callable[..., Any]:
    """Return a function to the gradients of all results of `fn` with respect to all leaves."""

    def gradient(*arguments: Any) -> list[Value]:
        gradients = []
        for _, result in _named_values(_as_values(fn(*arguments)), "result"):
            for leaf in leaves.values():
                leaf.grad = 0.0
            result.backward(create_graph=True)
            gradients += [_as_values(leaf.grad) for leaf in leaves.values()]
        return gradients

    return gradient


def _as_values(x: Any, *, leaves_only: bool = False) -> Any:
    """Return the same nested lists with a Value for every number; Values are kept."""
    if isinstance(x, Value):
        return Value(x.data, label=x.label) if leaves_only and x._prev else x
    if isinstance(x, list | tuple):
        return [_as_values(item, leaves_only=leaves_only) for item in x]
    return Value(to_float(x))


def _named_values(x: Any, name: str) -> Iterator[tuple[str, Value]]:
    if isinstance(x, Value):
        yield name, x
        return
    for i, item in enumerate(x):
        yield from _named_values(item, f"{name}[{i}]")


def _report(disagreements: list[_Disagreement], total: int, order: int) -> str:
    kind = "derivatives" if order == 1 else f"derivatives of order {order}"
    header = ("of", "by", "backward()", "differences", "disagree by", "tolerance")
    rows = [
        (d.result, d.input, f"{d.backward:.9g}", f"{d.differences:.9g}",
         f"{abs(d.backward - d.differences):.2g}", f"{d.tolerance:.2g}")
        for d in disagreements[:20]
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]
    if len(disagreements) > len(rows):
        lines.append(f"and {len(disagreements) - len(rows)} more")
    return (
        f"{len(disagreements)} of {total} {kind} disagree; look at the rules of the operations "
        "on the way from these inputs, and keep inputs away from kinks.\n\n" + "\n".join(lines)
    )
