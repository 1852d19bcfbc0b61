"""Sequential: modules applied in sequence."""

from collections.abc import Iterator
from typing import Any

from liftgrad.nn.module import Module


class Sequential(Module):
    """Modules in sequence, each applied to the output of the one before it.

    >>> from liftgrad import nn
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> len(model), len(model.parameters()), len(model([1.0, 2.0]))
    (3, 13, 1)

    Args:
        modules: will be named "0", "1", ...; or pass one dict of modules by name.

    Raises:
        TypeError: if one of them is not a Module.

    """

    def __init__(self, *modules: Module | dict[str, Module]) -> None:
        first = modules[0] if modules else None
        single = len(modules) == 1 and isinstance(first, dict)
        named = first if single else {str(i): m for i, m in enumerate(modules)}
        assert isinstance(named, dict)
        for name, module in named.items():
            if not isinstance(module, Module):
                advice = "such as nn.ReLU()"
                if isinstance(module, list | tuple):
                    advice = "not in a list: Sequential(*modules)"
                raise TypeError(f"Sequential got {module!r} as {name}; pass Modules, {advice}.")
        vars(self).update(named)

    def forward(self, x: Any) -> Any:
        """Return what the last module returns."""
        for module in self:
            x = module(x)
        return x

    def __iter__(self) -> Iterator[Module]:
        return (x for x in vars(self).values() if isinstance(x, Module))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]
