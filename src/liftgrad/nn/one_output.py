"""OneOutput: what a layer with one output returns; it explains itself when used as a number."""

from typing import Any, NoReturn

from liftgrad.operators import Operators

_ADVICE = (
    "a layer of one output returns it in a list; write model(x)[0] to compute with the number."
)
_OF_VALUES = ("data", "grad", "backward", "item")


class OneOutput(list[Any]):
    """A list of one number: a list in all respects, but arithmetic says how to get the number."""

    _known_as = "a list"

    def _refuse(self, *_: Any) -> NoReturn:
        raise TypeError(_ADVICE)

    __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __pow__ = __rpow__ = __neg__ = __abs__ = __float__ = _refuse

    def __array_ufunc__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(_ADVICE)

    def __add__(self, other: Any) -> list[Any]:
        return [*self, *other] if isinstance(other, list) else self._refuse()

    def __radd__(self, other: Any) -> list[Any]:
        return [*other, *self] if isinstance(other, list) else self._refuse()

    def __lt__(self, other: Any) -> bool:
        return super().__lt__(other) if isinstance(other, list) else self._refuse()

    def __le__(self, other: Any) -> bool:
        return super().__le__(other) if isinstance(other, list) else self._refuse()

    def __gt__(self, other: Any) -> bool:
        return super().__gt__(other) if isinstance(other, list) else self._refuse()

    def __ge__(self, other: Any) -> bool:
        return super().__ge__(other) if isinstance(other, list) else self._refuse()

    def __getattr__(self, name: str) -> Any:
        """Refuse the attributes of numbers, such as `backward`, with what to write instead."""
        if name in _OF_VALUES or (hasattr(Operators, name) and not name.startswith("_")):
            raise AttributeError(_ADVICE)
        raise AttributeError(f"'list' object has no attribute {name!r}")
