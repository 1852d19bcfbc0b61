"""Tracebacks: those of refusals show the user's lines, and not how we came to refuse."""

import dis
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import ParamSpec, TypeVar

from liftgrad.errors import LiftgradError
from liftgrad.lift.user_code import is_users_module

P = ParamSpec("P")
R = TypeVar("R")
_RAISE = dis.opmap["RAISE_VARARGS"]


def hide_own_frames(error: Exception) -> None:
    """Cut our frames out of an error's traceback, as far as they tell the user nothing.

    Of refusals all go: the message says everything. Of errors in the user's code, or in ours that
    it called, the last one stays. Others may be a fault of ours and keep all.
    """
    frames = _frames(error.__traceback__)
    foreign = [frame for frame in frames if not _is_ours(frame)]
    if is_refusal(error):
        kept = foreign
    elif any(is_users_module(frame.tb_frame.f_globals) for frame in foreign):
        kept = foreign if foreign[-1] is frames[-1] else [*foreign, frames[-1]]
    else:
        return
    following = None
    for frame in reversed(kept):
        following = TracebackType(following, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    error.__traceback__ = following


def with_short_tracebacks(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function, out of which errors come without our frames."""

    @wraps(function)
    def short(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            hide_own_frames(error)
            raise

    return short


def _frames(traceback: TracebackType | None) -> list[TracebackType]:
    frames = []
    while traceback is not None:
        frames.append(traceback)
        traceback = traceback.tb_next
    return frames


def _is_ours(frame: TracebackType) -> bool:
    return str(frame.tb_frame.f_globals.get("__name__")).partition(".")[0] == "liftgrad"


def is_refusal(error: Exception) -> bool:
    """Tell whether we refuse something: by an error of our own, or by a `raise` of another."""
    if isinstance(error, LiftgradError):
        return True
    last = _frames(error.__traceback__)[-1]
    raised = _is_ours(last) and last.tb_frame.f_code.co_code[last.tb_lasti] == _RAISE
    return raised and isinstance(error, TypeError | ValueError | IndexError)
