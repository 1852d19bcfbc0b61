"""State: what a `state_dict` says, checked before an optimiser takes it over."""

from collections.abc import Iterable, Mapping, Sequence
from operator import index
from typing import Any, NamedTuple, Protocol

from liftgrad.numbers import to_float


class Stateful(Protocol):
    """What is asked of the optimiser that a state is for."""

    params: list[Any]
    state_names: tuple[str, ...]

    @property
    def rules(self) -> Sequence[Any]:
        """One for each group of parameters."""


class State(NamedTuple):
    """The contents of a `state_dict`."""

    steps: int
    began: list[int]
    """How many steps had been taken when each group was added."""
    columns: dict[str, list[float]]
    """For each name a number for each parameter."""


def read_state(optimizer: Stateful, state: Any) -> State:
    """Return a state if it fits the optimiser.

    Raises:
        ValueError: if it belongs to another optimiser or other parameters, or something in it
            is not a number.
        TypeError: if it is not a dictionary.

    """
    if not isinstance(state, Mapping):
        raise TypeError(
            f"a state_dict is a dictionary, and this is a {type(state).__name__}; pass what "
            "state_dict returned."
        )
    names = ("steps", *optimizer.state_names)
    if set(state) - {"began"} != set(names):
        raise ValueError(
            f"this state_dict has {_listed(state)} and {type(optimizer).__name__} needs "
            f"{_listed(names)}; make the optimiser with the same arguments first."
        )
    count, groups = len(optimizer.params), len(optimizer.rules)
    columns = {name: _column(name, state[name], count) for name in optimizer.state_names}
    steps = _steps("steps", state["steps"])
    listed = state.get("began", [0] * groups)
    if not isinstance(listed, Iterable):
        raise ValueError(  # noqa: TRY004, like all else that a state_dict may get wrong
            f"began in this state_dict is {listed!r:.40}; pass what state_dict returned."
        )
    began = [_steps("began", step, steps) for step in listed]
    if len(began) != groups:
        raise ValueError(
            f"this state_dict is of {len(began)} groups of parameters and the optimiser has "
            f"{groups}; add the same groups first."
        )
    return State(steps, began, columns)


def _steps(name: str, x: Any, most: int = 2**53) -> int:
    """Return a number of steps."""
    try:
        steps = index(x)
    except TypeError:
        steps = -1
    if not 0 <= steps <= most:
        raise ValueError(
            f"{name} in this state_dict is {x!r:.40} and not a number of steps up to {most}; pass "
            "what state_dict returned."
        )
    return steps


def _column(name: str, column: Any, count: int) -> list[float]:
    """Return a number for each parameter."""
    try:
        numbers = [to_float(x) for x in column]
    except TypeError:
        raise ValueError(
            f"{name} in this state_dict is not a list of numbers; pass what state_dict returned."
        ) from None
    if len(numbers) != count:
        raise ValueError(
            f"this state_dict is of {len(numbers)} parameters and the optimiser has {count}; build "
            "the model with the same sizes first."
        )
    return numbers


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
