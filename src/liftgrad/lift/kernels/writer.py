"""What a kernel is written with: the interface between deciding and writing.

The emitter decides on loops, blocks of registers, vectors and masks, and calls a writer for each
step. A writer appends to a text in its language, and knows nothing of nests. Values, positions and
masks are known by the text that stands for them: a name, or a literal.

A value is one number, or a vector of `lanes` of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from liftgrad.lift.ir.nests import Access
from liftgrad.ops import Operation

Element = Literal["number", "index"]
"""What lies in memory: floating-point numbers, or integers."""
Body = Callable[[str, list[str]], list[str]]
"""Writes a loop's body, given the index and the carried values; returns the values to carry on."""


@dataclass(slots=True)
class Kernel:
    """A kernel's text and what its caller has to pass.

    Each kernel takes one pointer to its arguments, words of 64 bits: the address of the first
    element of every access, the number of samples, each access's distance in memory between
    elements of a batched group, the addresses of the tables, and the number of steps of a loop over
    time.
    """

    text: str
    accesses: list[Access]
    """The accesses whose first addresses are the arguments, in order."""
    tables: list[int]
    """The tables whose addresses are the last arguments, in order."""
    functions: set[tuple[str, int, str]]
    """(name, width, dtype) of the mathematical functions that it calls and does not define."""
    steps: int | None = None
    """The number of steps, which is the last argument; None: it is no loop over time."""


class Writer(Protocol):
    """Writes the text of one kernel, a single number at a time where no lanes are named."""

    # --- arguments ---------------------------------------------------------------------------

    def samples(self) -> str:
        """Return the number of samples."""

    def pointer(self, access: int) -> str:
        """Return the address of an access's first element, the access given by its number."""

    def distance(self, access: int) -> str:
        """Return how far apart in memory an access's elements of a batched group are."""

    def table(self, table: int) -> str:
        """Return the address of a table, which is given by its number among the arguments."""

    def steps(self) -> str:
        """Return the number of steps of a loop over time."""

    # --- positions ---------------------------------------------------------------------------

    def plus(self, a: str, b: str) -> str:
        """Return the sum of two positions."""

    def times(self, a: str, factor: str) -> str:
        """Return the product of two positions."""

    # --- memory ------------------------------------------------------------------------------

    def address(self, element: Element, pointer: str, position: str) -> str:
        """Return the address of an element, counted from the pointer."""

    def load(self, element: Element, address: str) -> str:
        """Return what lies at an address."""

    def store(self, address: str, value: str) -> None:
        """Write a number to an address."""

    # --- numbers, one or `lanes` at a time ---------------------------------------------------

    def literal(self, value: float, lanes: int = 1, /) -> str:
        """Return a number, rounded to the kernel's dtype, in all lanes."""

    def apply(self, operation: Operation, operands: Sequence[str], lanes: int = 1, /) -> str:
        """Return an operation's result."""

    def multiply_add(self, a: str, b: str, c: str, lanes: int = 1, /) -> str:
        """Return a·b + c, which may be rounded once only."""

    # --- control -----------------------------------------------------------------------------

    def loop(
        self,
        start: str,
        stop: str,
        step: int,
        carried: Sequence[str],
        body: Body,
        lanes: int | Sequence[int] = 1,
        /,
    ) -> list[str]:
        """Write a loop that carries numbers, given the initial ones; return the last ones.

        All have the same number of lanes, or each one of its own.
        """

    def within(self, index: str, start: str, stop: str, body: Callable[[], None]) -> None:
        """Write what is done where an index is from `start` up to, not including, `stop`."""


class VectorWriter(Protocol):
    """Writes instructions on vectors of `width` lanes, some of them masked."""

    width: int
    registers: int
    """How many vectors the processor holds."""

    # --- positions and masks -----------------------------------------------------------------

    def whole(self, step: int) -> str:
        """Return the number of samples, rounded down to a multiple of `step`."""

    def spread(self, element: Element, value: str) -> str:
        """Return one value in every lane."""

    def ramp(self, stride: int) -> str:
        """Return the positions 0, stride, 2·stride, ..."""

    def plus(self, a: str, b: str) -> str:
        """Return the sums of positions."""

    def times(self, a: str, factor: str) -> str:
        """Return the products of positions with one."""

    def first(self, count: int) -> str:
        """Return the mask of the first lanes."""

    def remaining(self, index: str) -> str:
        """Return the mask of the lanes that hold samples, of which the first has this index."""

    # --- memory; mask: None for all lanes ----------------------------------------------------

    def load(self, element: Element, address: str, mask: str | None) -> str:
        """Return neighbours in memory, zero where the mask is off."""

    def store(self, address: str, value: str, mask: str | None) -> None:
        """Write neighbours in memory."""

    def gather(self, element: Element, pointer: str, positions: str, mask: str | None) -> str:
        """Return what lies at positions counted from the pointer, zero where the mask is off."""

    def scatter(self, pointer: str, positions: str, value: str, mask: str | None) -> None:
        """Write numbers to positions counted from the pointer."""

    # --- numbers -----------------------------------------------------------------------------

    def choose(self, mask: str, value: str, other: str) -> str:
        """Return the value where the mask is on, else the other."""

    def shuffle(self, a: str, b: str | None, take: Sequence[int], lanes: int) -> str:
        """Return some of the lanes of a, then b, which have `lanes` each."""

    def join(self, numbers: Sequence[str]) -> str:
        """Return a vector of single numbers, and whatever in the lanes behind them."""

    def lane(self, vector: str, i: int, lanes: int) -> str:
        """Return lane i of a vector of `lanes`."""
