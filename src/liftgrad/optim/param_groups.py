"""Groups of parameters with settings of their own, as PyTorch writes them."""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from liftgrad.numbers import kind_of


class ParamGroup(MutableMapping[str, Any]):
    """A group of an optimiser's parameters as a dictionary: "params" and all settings.

    >>> from liftgrad import Value, optim
    >>> groups = [{"params": [Value(1.0)]}, {"params": [Value(2.0)], "lr": 0.1}]
    >>> optimizer = optim.SGD(groups, lr=0.5)
    >>> group = optimizer.param_groups[1]
    >>> group["lr"], len(group["params"])
    (0.1, 1)
    >>> group["lr"] = 0.2
    >>> optimizer.rates(0)
    [0.5, 0.2]

    Raises:
        ValueError: if a setting is set to a value that the optimiser refuses or that needs other
            state.
        TypeError: if a setting is deleted or "params" is set.

    """

    def __init__(self, optimizer: Any, number: int) -> None:
        self._optimizer, self._number = optimizer, number

    @property
    def _rule(self) -> Any:
        """The group's own optimiser, another object once the optimiser has more groups."""
        return self._optimizer.rules[self._number]

    def __getitem__(self, name: str) -> Any:
        """Return the parameters or a setting."""
        if name != "params" and name not in self._rule.setting_names:
            raise KeyError(name)
        return getattr(self._rule, name)

    def __setitem__(self, name: str, setting: Any) -> None:
        """Set a setting from the next step on."""
        rule = self._rule
        if name == "params":
            raise TypeError("the parameters of a group stay the same; make a new optimiser.")
        settings = {**self, name: setting}
        refuse_unknown(settings, type(rule))
        # A new optimiser checks the settings.
        like = type(rule)(settings.pop("params")[:1], **settings)
        if like.state_names != rule.state_names:
            raise ValueError(
                f"{name}={setting!r} needs other state than {name}={self[name]!r}; make a new "
                "optimiser."
            )
        setattr(rule, name, getattr(like, name))

    def __delitem__(self, name: str) -> None:
        """Refuse."""
        raise TypeError(f"a group has all settings and cannot lose {name!r}; set it instead.")

    def __iter__(self) -> Iterator[str]:
        """Iterate over "params" and the names of the settings."""
        return iter(("params", *self._rule.setting_names))

    def __len__(self) -> int:
        """Return the number of settings and 1."""
        return 1 + len(self._rule.setting_names)

    def __repr__(self) -> str:
        """Return the number of parameters and the settings."""
        settings = {name: x for name, x in self.items() if name != "params"}
        return f"ParamGroup({len(self['params'])} parameters, {settings})"


def read_params(params: Any) -> tuple[list[Any], list[dict[str, Any]]]:
    """Return the parameters in order, and the groups that they came in, if any.

    Raises:
        ValueError: if there are no parameters, or one occurs twice.
        TypeError: if something is neither a Value nor a group of Values.

    """
    if not isinstance(params, Iterable):
        raise TypeError(
            f"an optimiser takes a list of parameters, and this is {kind_of(params)}; "
            "pass model.parameters()."
        )
    listed = list(params)
    # There may be a million parameters, but few types.
    if not any(issubclass(kind, Mapping) for kind in set(map(type, listed))):
        return _parameters(listed), []
    groups = []
    for number, group in enumerate(listed):
        if not isinstance(group, Mapping):
            raise TypeError(
                f"groups of parameters are dictionaries, and entry {number} is "
                f'{kind_of(group)}; write {{"params": [...]}} there too.'
            )
        if "params" not in group:
            raise ValueError(
                f'group {number} has no "params"; write {{"params": layer.parameters(), ...}}.'
            )
        inner = group["params"]
        inner = list(inner) if isinstance(inner, Iterable) else [inner]
        if not inner:
            raise ValueError(f"group {number} has no parameters; leave it out.")
        groups.append({**group, "params": _parameters(inner)})
    owners: dict[int, int] = {}
    for number, group in enumerate(groups):
        for parameter in group["params"]:
            if id(parameter) in owners:
                raise ValueError(
                    f"a parameter is in group {owners[id(parameter)]} and in group {number} and "
                    "would move twice a step; leave it in one."
                )
            owners[id(parameter)] = number
    return [parameter for group in groups for parameter in group["params"]], groups


def refuse_unknown(settings: Iterable[str], optimizer: Any) -> None:
    """Refuse settings that a class of optimisers does not have.

    Raises:
        ValueError: naming the first, and the known ones.

    """
    known = ("params", *optimizer.setting_names)
    for name in settings:
        if name not in known:
            raise ValueError(
                f"{optimizer.__name__} has no setting {name!r}; its groups have "
                f"{', '.join(map(repr, known))}."
            )


def _parameters(listed: list[Any]) -> list[Any]:
    if not listed:
        raise ValueError("there are no parameters to optimise; pass model.parameters().")
    for kind, example in dict(zip(map(type, listed), listed, strict=True)).items():
        if not hasattr(kind, "grad"):
            raise TypeError(
                f"a parameter is a Value, and this is {kind_of(example)}; pass model.parameters()."
            )
    if len(set(map(id, listed))) != len(listed):
        raise ValueError("a parameter occurs twice and would move twice a step; pass each once.")
    return listed
