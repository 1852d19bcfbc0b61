"""Keys: what the arguments of calls that one program can serve have in common.

A key is a flat tuple of entries, in the order in which the arguments are walked through:

    name                     an argument begins
    (class, value)           a static value: int, str, bool, bytes, None, Snapshot
    float                    a float input
    ("input", shape, ...)    an array of floats; ("index", shape, ...) one of integers
    Value                    a list of Values that are met for the first time
    LeafPosition             a single Value, or one that is met again
    ("again", number)        an object or container that is met again
    (class, length or keys)  a list, tuple, dict, set or object, whose items follow
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from liftgrad.lift.call.snapshots import Snapshot

STATIC = (int, bool, str, bytes, type(None), Snapshot)
"""Classes of static arguments: a different value makes a different program."""
Key = tuple[Any, ...]


@dataclass(slots=True, frozen=True)
class LeafPosition:
    """A leaf: its group, and its position in the group."""

    group: int
    position: int


def with_shapes(key: Key, shapes: Iterable[tuple[Any, ...]]) -> Key:
    """Return a key in which the arrays have these shapes, in order."""
    remaining = iter(shapes)
    return tuple(
        [(entry[0], next(remaining), *entry[2:]) if _is_array(entry) else entry for entry in key]
    )


def is_among_integers(key: Key, at: int) -> bool:
    """Return whether an entry is an integer in a list, or a list that begins with one.

    >>> key = ("tokens", (list, 2), (int, 7), (int, 8), "n", (int, 9))
    >>> [is_among_integers(key, at) for at in range(len(key))]
    [False, True, True, True, False, False]
    """
    after = next((entry for entry in key[at:] if not _is_list(entry)), None)
    before = next((entry for entry in reversed(key[:at]) if not _is_integer(entry)), None)
    return _is_integer(after) and (_is_list(key[at]) or _is_list(before))


def in_words(entry: Any) -> str:
    """Return in words what an entry of a key says."""
    if isinstance(entry, LeafPosition):
        return "a Value"
    if isinstance(entry, type):
        return f"a {entry.__name__}"
    head, *rest = entry
    if head in ("input", "index"):
        return f"an array of shape {rest[0]}"
    if head is float:
        return repr(float.fromhex(rest[0]))
    if head in STATIC:
        return repr(rest[0].contents if head is Snapshot else rest[0])
    if isinstance(head, type) and issubclass(head, list | tuple):
        return f"a {head.__name__} of length {rest[0]}"
    if isinstance(head, type) and issubclass(head, dict):
        return f"a {head.__name__} of {len(rest)}"
    return f"a {head.__name__}" if isinstance(head, type) else "another object"


def _is_array(entry: Any) -> bool:
    return isinstance(entry, tuple) and entry[:1] in (("input",), ("index",))


def _is_integer(entry: Any) -> bool:
    return isinstance(entry, tuple) and entry[:1] == (int,)


def _is_list(entry: Any) -> bool:
    head = entry[0] if isinstance(entry, tuple) else None
    return isinstance(head, type) and issubclass(head, list | tuple)
