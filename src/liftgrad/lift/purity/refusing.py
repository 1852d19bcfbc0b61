"""Purity: a function that runs once for many calls must be pure, or is refused.

It may neither read what may differ at the next call (`random_generators`, `outside_reads`) nor
change what outlives the call (`mutation`).
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from types import FunctionType
from typing import Any

from liftgrad.lift.purity.mentions import Mentions
from liftgrad.lift.purity.mutation import Originals
from liftgrad.lift.purity.outside_reads import OutsideReads, may_read
from liftgrad.lift.purity.random_generators import RandomGenerators
from liftgrad.lift.purity.reachable import Named, reach


@contextmanager
def refusing_impurity(
    function: FunctionType,
    opaque: Iterable[Named],
    known: Collection[Named],
    namespaces: Iterable[Any],
    mentions: Mentions,
) -> Iterator[None]:
    """Refuse what a function that is called in a `with` block reads or changes.

    Args:
        function: the function.
        opaque: its arguments without stand-ins, by their paths.
        known: variables that it knows and of which there are no copies, and their contents.
        namespaces: the variables of modules and functions, as dicts, and classes.
        mentions: what its code mentions, and the code that it may call.

    Raises:
        TraceError: at the end of the block, or within.

    """
    originals = Originals(namespaces, known, mentions.names)
    reachable = [*reach(opaque), *originals.reachable]
    generators = RandomGenerators(reachable, mentions.names)
    reads = OutsideReads(generators, reachable)
    is_suspect = may_read(mentions, (x for _, x in reachable))
    try:
        with reads if is_suspect else nullcontext():
            yield
    finally:
        originals.put_back()
    line = f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"
    reads.check(line)
    generators.check(line)
    originals.check(line)
