"""Subject: the column that an error message is about, and the arguments that it recommends."""

from dataclasses import dataclass

from liftgrad.data.table import Kind


@dataclass(frozen=True)
class Subject:
    """A column of a file; as text, how messages call it.

    >>> subject = Subject("t.csv", "zip")
    >>> print(f"{subject} is odd; pass {subject.as_kind('category')}, or {subject.drop}.")
    the column 'zip' of 't.csv' is odd; pass kinds={'zip': "category"}, or drop=['zip'].
    """

    source: str
    name: str
    is_target: bool = False

    def __str__(self) -> str:
        return f"the {'target' if self.is_target else 'column'} '{self.name}' of '{self.source}'"

    @property
    def drop(self) -> str:
        """The argument that leaves the column out."""
        return f"drop=[{self.name!r}]"

    @property
    def or_drop(self) -> str:
        """The end of a sentence about a column that can be corrected or left out."""
        return ", or choose another target." if self.is_target else f", or pass {self.drop}."

    @property
    def only_drop(self) -> str:
        """The end of a sentence about a column that cannot be corrected."""
        return "choose another target." if self.is_target else f"pass {self.drop}."

    def as_kind(self, kind: Kind) -> str:
        """Return the argument that declares the column's kind."""
        return f'kinds={{{self.name!r}: "{kind}"}}'
