"""New Values: what `Value(x)` means in a function that is being traced."""

import weakref
from collections.abc import Iterable
from typing import Any

from liftgrad import ops
from liftgrad.engine import Value
from liftgrad.errors import TraceError
from liftgrad.lift.tape import Tape
from liftgrad.lift.trace import Traced
from liftgrad.lift.user_code import user_line
from liftgrad.numbers import to_float
from liftgrad.operators import Operators


def value_class(tape: Tape) -> type:
    """Return what stands for the class Value while a tape is recorded.

    A new Value of a number is a constant; one of a traced number is that number, from which no
    gradient flows on, as none flows on from an eager Value to the float it was made of. Both are
    Values to `isinstance`.
    """
    # Classes refer to themselves and wait for the collector; the tape must not wait with them.
    reference = weakref.ref(tape)

    class Kind(type):
        def __call__(
            cls,
            data: Any,
            _prev: Iterable[Any] = (),
            _operation: Any = "",
            label: str = "",  # noqa: ARG002, there is no picture to show it
        ) -> Any:
            if tuple(_prev):
                raise TraceError(
                    f"{user_line()}: a Value is made with operands of its own here, whose "
                    "derivative cannot be followed; compute it with operators and "
                    "liftgrad.functional."
                )
            if isinstance(data, Operators) and not isinstance(data, Value):
                return ops.detach(data)
            tape = reference()
            assert tape is not None
            return Traced(tape, tape.constant(to_float(data)))

        def __instancecheck__(cls, x: Any) -> bool:
            return isinstance(x, Operators)

        def __getattr__(cls, name: str) -> Any:
            return getattr(Value, name)

    return Kind("Value", (), {})
