"""What a refusal says."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from liftgrad import lift
from liftgrad.errors import LiftError, TraceError


def refusal(function: Callable[..., Any], *arguments: Any) -> str:
    """Return the sentence with which a function is refused, which names a file and a line."""
    with pytest.raises(LiftError) as caught:
        lift(function)(*arguments)
    message = str(caught.value)
    assert re.search(r"[.)]$", message)
    if isinstance(caught.value, TraceError):
        assert re.match(r"\S+\.py:\d+: ", message), message
    return message
