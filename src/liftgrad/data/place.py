"""Place: the column that a sentence complains of, and the arguments that cure it."""

from dataclasses import dataclass

from liftgrad.data.table import Kind


@dataclass(frozen=True)
class Place:
    """A column of a file; as text, what sentences call it.

    >>> place = Place("t.csv", "zip")
    >>> print(f"{place} is odd; pass {place.as_kind('category')}, or {place.drop}.")
    the column 'zip' of 't.csv' is odd; pass kinds={'zip': "category"}, or drop=['zip'].
    """

    source: str
    name: str
    is_target: bool = False

    def __str__(self) -> str:
        return f"the {'target' if self.is_target else 'column'} '{self.name}' of '{self.source}'"

    @property
    def drop(self) -> str:
        """Return the argument that leaves the column out."""
        return f"drop=[{self.name!r}]"

    @property
    def or_drop(self) -> str:
        """Return the end of a sentence about a column that is mended or left out."""
        return ", or choose another target." if self.is_target else f", or pass {self.drop}."

    @property
    def only_drop(self) -> str:
        """Return the end of a sentence about a column that cannot be mended."""
        return "choose another target." if self.is_target else f"pass {self.drop}."

    def as_kind(self, kind: Kind) -> str:
        """Return the argument that says what the column is."""
        return f'kinds={{{self.name!r}: "{kind}"}}'
