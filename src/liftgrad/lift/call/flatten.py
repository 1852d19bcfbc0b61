"""Flatten: take the arguments of a call apart, and put them together again with stand-ins.

    Values                      parameters; a leaf group for each argument that holds any
    floats                      inputs; a leaf group for each argument
    arrays of floats            inputs; a leaf group each
    arrays of integers          indices known at run time; a leaf group each
    arrays of objects           nested lists of their items, such as Values
    ints, strings, bools, None  static: a different value makes a different program
    lists, tuples, dicts, Modules and other objects with attributes: taken apart; floats among an
                                object's attributes are static
    bound methods, partials     taken apart, too, if they are of the user's objects
    other objects               static, known by their equality

`flatten` returns the numbers and a key that is equal for calls that one program can serve;
`substitute` returns the same arguments with stand-ins in place of the numbers. What a function
returns is flattened by `flatten_result`, which also returns how to nest other leaves alike.
"""

import gc
from collections.abc import Callable, Iterator
from typing import Any

from liftgrad.errors import LiftError
from liftgrad.lift.call.flat_arguments import FlatArguments
from liftgrad.lift.call.leaves import LeafKind
from liftgrad.lift.call.visitor import Visitor
from liftgrad.protocols import stands_for_array


def flatten(arguments: dict[str, Any]) -> FlatArguments:
    """Take the arguments apart.

    Raises:
        LiftError: if something in them cannot take part in a lifted function.

    """
    visitor = Visitor()
    collecting = gc.isenabled()
    gc.disable()  # nothing that is made here becomes garbage
    try:
        for name, argument in arguments.items():
            visitor.begin(name)
            try:
                visitor.visit(argument, name)
            except RecursionError:
                raise LiftError(
                    f"{name} is nested too deeply, or a list in it holds itself; make it flatter."
                ) from None
    finally:
        if collecting:
            gc.enable()
    return FlatArguments(
        tuple(visitor.key),
        visitor.groups,
        visitor.containers,
        visitor.classes,
        visitor.opaque,
        visitor.complete,
        visitor.differentiated,
    )


def substitute(
    arguments: dict[str, Any],
    leaves: Callable[[int, int, int], list[Any]],
    array: Callable[[int, LeafKind], Any],
) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """Return copies of the arguments that hold stand-ins, and those of them that can be mutated.

    Args:
        arguments: by name.
        leaves: `leaves(group, first, count)` returns stand-ins for that many neighbouring leaves.
        array: `array(group, kind)` returns the stand-in for an array.

    Returns:
        The copies by name; the lists, dicts, sets and objects that were made, each with its path.

    """
    visitor = Visitor(leaves, array)
    result = {}
    for name, argument in arguments.items():
        visitor.begin(name)
        result[name] = visitor.visit(argument, name)
    return result, visitor.copies


def flatten_result(result: Any) -> tuple[list[Any], Callable[[Iterator[Any]], Any]]:
    """Return the leaves of a nested result, and a function that nests other leaves alike.

    >>> leaves, rebuild = flatten_result({"loss": 1.0, "scores": [2.0, 3.0]})
    >>> leaves, rebuild(iter("abc"))
    ([1.0, 2.0, 3.0], {'loss': 'a', 'scores': ['b', 'c']})
    """
    if stands_for_array(result):  # part of an array argument
        result = list(result)
    if isinstance(result, list | tuple):
        flat = [flatten_result(item) for item in result]
        # `build` must not hold on to the result, and to the whole tape with it.
        rebuilds = [rebuild for _, rebuild in flat]
        cls, by_name = result.__class__, hasattr(result, "_fields")

        def build(leaves: Iterator[Any]) -> Any:
            items = [rebuild(leaves) for rebuild in rebuilds]
            return cls(*items) if by_name else cls(items)

        return [leaf for leaves, _ in flat for leaf in leaves], build
    if isinstance(result, dict):
        keys = list(result)
        leaves, rebuild = flatten_result(list(result.values()))
        return leaves, lambda others: dict(zip(keys, rebuild(others), strict=True))
    return [result], next
