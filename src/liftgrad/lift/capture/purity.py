"""Once: what must hold while a function runs once for many calls.

It may neither read what may be another thing at the next call (`generators`, `outside`) nor change
what outlives the call (`unchanged`).
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from types import FunctionType
from typing import Any

from liftgrad.lift.capture.mutation import Originals
from liftgrad.lift.capture.outside_reads import Outside, may_read
from liftgrad.lift.capture.random_generators import Generators
from liftgrad.lift.capture.reachable import Named, reach
from liftgrad.lift.capture.variables import Mentioned


@contextmanager
def refusing_impurity(
    function: FunctionType,
    given: Iterable[Named],
    known: Collection[Named],
    spaces: Iterable[Any],
    mentioned: Mentioned,
) -> Iterator[None]:
    """Refuse what a function reads or changes that is called in a `with` block.

    Args:
        function: it.
        given: what is among its arguments and has no stand-in.
        known: what it knows beside that, which is no copy: variables and their contents.
        spaces: the variables of modules and functions, as dicts, and classes.
        mentioned: what it, and what it calls, mentions.

    Raises:
        TraceError: at the end of the block, or within.

    """
    live = Originals(spaces, known, mentioned.names)
    found = [*reach(given), *live.reached]
    generators = Generators(found, mentioned.names)
    outside = Outside(generators, found)
    watched = may_read(mentioned, (x for _, x in found))
    try:
        with outside if watched else nullcontext():
            yield
    finally:
        live.put_back()
    place = f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"
    outside.check(place)
    generators.check(place)
    live.check(place)
