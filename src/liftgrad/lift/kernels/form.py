"""Form: what of a nest its kernel's text depends on, so that nests that are alike share a kernel.

A chain of operations has thousands of nests of which a few dozen differ otherwise than by where in
memory they read and write, which is passed to a kernel with each run.

Invariant: two nests of one form get the same text, and their accesses, and tables, are arguments in
the same order.
"""

from collections.abc import Sequence
from typing import Any, assert_never

from liftgrad.lift.ir.nests import Access, Apply, Buffer, Expression, Load, Nest, Number, Reduce


class Form:
    """A nest without what its caller passes.

    Args:
        nest: the nest.
        buffers: the program's.

    """

    __slots__ = ("_buffers", "accesses", "key", "tables")

    def __init__(self, nest: Nest, buffers: Sequence[Buffer]) -> None:
        self._buffers = buffers
        self.accesses: dict[Access, int] = {}
        """The different accesses, numbered in the order in which they come."""
        self.tables: dict[int, int] = {}
        """The different tables in that order."""
        self.key = (
            nest.extents,
            nest.batched,
            nest.accumulate,
            self._access(nest.out),
            self._expression(nest.body),
        )
        """Equal for nests of one form."""

    def _expression(self, expression: Expression) -> Any:
        match expression:
            case Load(access=access):
                return self._access(access)
            case Apply(operation=operation, operands=operands):
                return (operation, *map(self._expression, operands))
            case Number(value=value):
                return value.hex()  # which tells zeros apart, and knows nan
            case Reduce(kind=kind, extents=extents, body=body, samples=samples):
                return kind, extents, samples, self._expression(body)
            case _:
                assert_never(expression)

    def _access(self, access: Access) -> Any:
        """Return an access's number, with what the kernel knows of it where it is a new one."""
        number = self.accesses.get(access)
        if number is not None:
            return number
        self.accesses[access] = len(self.accesses)
        buffer = self._buffers[access.buffer]
        known = access.strides, buffer.batched, buffer.role == "index"
        if access.table is None and access.index is None:
            return known
        table, index = None, None
        if access.table is not None:
            table = self.tables.setdefault(access.table, len(self.tables)), access.offset
        if access.index is not None:
            index = self._access(access.index), access.step, access.extent
        return *known, table, index
