"""Passing: iterators that objects hold, from which a lifted function cannot take items."""

import io
from functools import lru_cache
from typing import Any, NoReturn

from liftgrad.errors import TraceError
from liftgrad.lift.user_code import user_line


@lru_cache(maxsize=1024)
def is_iterator(kind: Any) -> bool:
    """Tell whether objects of a class give items that are then gone; a file is also written to."""
    return hasattr(kind, "__next__") and not issubclass(kind, io.IOBase)


class Passing:
    """What stands for an iterator while the function that may use it is traced."""

    def __init__(self, path: str) -> None:
        self._path = path

    def _refuse(self, *_: Any) -> NoReturn:
        raise TraceError(
            f"{user_line()}: the lifted function takes items from {self._path}, and runs once for "
            "many calls, which would all get the same; take them before and pass them."
        )

    __next__ = __iter__ = __getattr__ = _refuse
