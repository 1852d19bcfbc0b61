"""Iterators that objects hold, from which a lifted function must not take items."""

from typing import Any, NoReturn

from liftgrad.errors import TraceError
from liftgrad.lift.user_code import user_line


class RefusedIterator:
    """What stands for an iterator, at `path` in the arguments, while a function is traced."""

    def __init__(self, path: str) -> None:
        self._path = path

    def _refuse(self, *_: Any) -> NoReturn:
        raise TraceError(
            f"{user_line()}: the lifted function takes items from {self._path}, and runs once for "
            "many calls, which would all get the same; take them before and pass them."
        )

    __next__ = __iter__ = __getattr__ = _refuse
