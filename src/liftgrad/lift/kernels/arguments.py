"""Arguments: the accesses and the tables whose addresses a kernel is given."""

from liftgrad.lift.ir.nests import Access


class Arguments:
    """What a kernel's caller has to pass, numbered as it comes.

    Args:
        whole: whether accesses to one buffer share the address at which the buffer begins. In a
            nest each access has an address of its own, so that nests that differ only by where
            they read and write share a kernel; in a loop of many nests that would take more
            registers than there are.

    """

    def __init__(self, *, whole: bool = False) -> None:
        self.whole = whole
        self._accesses: dict[Access, int] = {}
        self._tables: dict[int, int] = {}

    @property
    def accesses(self) -> list[Access]:
        """The accesses in order."""
        return list(self._accesses)

    @property
    def tables(self) -> list[int]:
        """The tables in order."""
        return list(self._tables)

    def access(self, access: Access) -> int:
        """Return an access's number."""
        if self.whole:
            access = Access(access.buffer, 0, ())
        return self._accesses.setdefault(access, len(self._accesses))

    def begin(self, access: Access) -> int:
        """Return the position behind the access's address from which its strides count."""
        # Those of a table count from the beginning of the table.
        return access.offset if self.whole or access.table is not None else 0

    def table(self, table: int) -> int:
        """Return a table's number."""
        return self._tables.setdefault(table, len(self._tables))
