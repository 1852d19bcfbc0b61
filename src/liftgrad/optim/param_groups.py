"""Groups of parameters with settings of their own, as PyTorch writes them."""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any


class ParamGroup(MutableMapping[str, Any]):
    """A group of an optimiser as a dictionary: "params" and every setting, to read and to set.

    Raises:
        ValueError: if a setting is set to what the optimiser does not take, or needs other state.
        TypeError: if a setting is taken away or "params" set.

    """

    def __init__(self, optimizer: Any, number: int) -> None:
        self._optimizer, self._number = optimizer, number

    @property
    def _rule(self) -> Any:
        """Whoever knows the settings, another one once the optimiser has more groups."""
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
        # Its checks are those of a new one.
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
        """Return what the dictionary's would be, with the number of parameters only."""
        settings = {name: x for name, x in self.items() if name != "params"}
        return f"ParamGroup({len(self['params'])} parameters, {settings})"


def read_params(params: Any) -> tuple[list[Any], list[dict[str, Any]]]:
    """Return the parameters in order, and the groups they were given in, if any.

    Raises:
        ValueError: if there are no parameters, or one occurs twice.
        TypeError: if something is neither a Value nor a group of them.

    """
    if not isinstance(params, Iterable):
        raise TypeError(
            f"an optimiser takes a list of parameters, and this is a {type(params).__name__}; "
            "pass model.parameters()."
        )
    listed = list(params)
    # Kinds are few, where parameters may be a million.
    if not any(issubclass(kind, Mapping) for kind in set(map(type, listed))):
        return _parameters(listed), []
    groups = []
    for number, group in enumerate(listed):
        if not isinstance(group, Mapping):
            raise TypeError(
                f"groups of parameters are dictionaries, and entry {number} is a "
                f'{type(group).__name__}; write {{"params": [...]}} there too.'
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
    """Refuse names that are no settings of a class of optimisers.

    Raises:
        ValueError: naming the first, and those that it has.

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
    for kind in dict.fromkeys(map(type, listed)):
        if not hasattr(kind, "grad"):
            raise TypeError(
                f"a parameter is a Value, and this is a {kind.__name__}; pass model.parameters()."
            )
    if len(set(map(id, listed))) != len(listed):
        raise ValueError("a parameter occurs twice and would move twice a step; pass each once.")
    return listed
