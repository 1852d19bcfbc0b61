"""Tracebacks: that of a refusal shows the user's lines, and none of ours."""

import dis
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import ParamSpec, TypeVar

from liftgrad.errors import LiftgradError
from liftgrad.lift.user_code import entries, is_users_module

P = ParamSpec("P")
R = TypeVar("R")
_RAISE = dis.opmap["RAISE_VARARGS"]


def hide_own_frames(error: Exception) -> None:
    """Remove from an error's traceback those of our frames that tell the user nothing.

    Refusals keep none: the message says everything. Errors in the user's code, or in ours that it
    called, keep the last one. Others may be a fault of ours, and keep all.
    """
    frames = list(entries(error))
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
    """Return the function with a wrapper that cuts our frames out of its errors' tracebacks."""

    @wraps(function)
    def short(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            hide_own_frames(error)
            raise

    return short


def is_refusal(error: Exception) -> bool:
    """Return whether an error is a refusal: of a class of ours, or raised by a line of ours."""
    if isinstance(error, LiftgradError):
        return True
    *_, last = entries(error)
    raised = _is_ours(last) and last.tb_frame.f_code.co_code[last.tb_lasti] == _RAISE
    return raised and isinstance(error, TypeError | ValueError | IndexError)


def _is_ours(frame: TracebackType) -> bool:
    return str(frame.tb_frame.f_globals.get("__name__")).partition(".")[0] == "liftgrad"
