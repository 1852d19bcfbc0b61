"""Tables larger than memory, encoded once into memory-mapped files."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from liftgrad import files
from liftgrad.data.encoding import TableEncoder
from liftgrad.data.table import Table, TableError

Array = NDArray[Any]


def store(
    encoder: TableEncoder,
    tables: Table | Iterable[Table],
    folder: str | os.PathLike[str],
    *,
    dtype: Literal["float32", "float64"] = "float32",
) -> tuple[Array, Array | None]:
    """Encode a table chunk by chunk into X.npy and y.npy; return both, memory-mapped.

    A `Trainer` or a `Loader` draws shuffled batches from them and reads only a batch's rows:

        rows = TableStream("large.csv", "price")
        encoder = TableEncoder().fit(rows)
        X, y = store(encoder, rows, "encoded")
        Trainer(loss, optimizer, batch_size=256).fit(3, model, X, y)

    Only one chunk is in memory at a time. Existing files are replaced once everything is encoded,
    and kept if that fails. `np.load("encoded/X.npy", mmap_mode="r")` opens them later.

    >>> from liftgrad.data import Column
    >>> plants = Table("plants.csv", (Column("height", "number", np.array([1.0, 2.0, 3.0])),))
    >>> X, y = store(TableEncoder().fit(plants), plants, "encoded")
    >>> X.shape, y
    ((3, 1), None)

    Args:
        encoder: fitted to the table, or to one like it.
        tables: the chunks, such as a `TableStream`, or one table.
        folder: where to write; created if it does not exist.
        dtype: of the numbers; class numbers are always int64.

    Returns:
        X (rows, len(encoder.feature_names)), and y (rows,), None if the encoder has no target.

    Raises:
        ValueError: if the dtype is unknown.
        TableError: if a chunk cannot be encoded, or there are no rows.
        OSError: if the files cannot be written.

    """
    if dtype not in ("float32", "float64"):
        raise ValueError(f'dtype={dtype!r}; pass "float32" or "float64".')
    folder = Path(folder)
    files.make_directory(folder)
    with contextlib.ExitStack() as stack:
        points = _Rows(stack.enter_context(files.writing(folder / "X.npy")))
        targets = None
        if encoder.target is not None:
            targets = _Rows(stack.enter_context(files.writing(folder / "y.npy")))
        for table in [tables] if isinstance(tables, Table) else tables:
            points.add(encoder.transform(table).astype(dtype))
            if targets is not None:
                y = encoder.transform_target(table)
                targets.add(y if encoder.task == "classification" else y.astype(dtype))
        if not points.rows:
            raise TableError("there are no rows to store; pass chunks of a table that has some.")
        points.finish()
        if targets is not None:
            targets.finish()
    X = np.load(folder / "X.npy", mmap_mode="r")
    return X, None if targets is None else np.load(folder / "y.npy", mmap_mode="r")


class _Rows:
    """An .npy file whose number of rows is known only in the end."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.rows = file, 0
        self.header: dict[str, Any] = {}

    def add(self, rows: Array) -> None:
        """Append some rows."""
        if not self.header:
            self.header = {"descr": rows.dtype.str, "fortran_order": False, "shape": rows.shape}
            # NumPy leaves room in the header for a first extent of any length.
            np.lib.format.write_array_header_1_0(self.file, self.header)
        self.file.write(np.ascontiguousarray(rows).data)
        self.rows += len(rows)

    def finish(self) -> None:
        """Write the number of rows."""
        self.file.seek(0)
        shape = (self.rows, *self.header["shape"][1:])
        np.lib.format.write_array_header_1_0(self.file, {**self.header, "shape": shape})
        # Now, so that X and y are renamed right after each other: a kill in between would leave
        # files that do not belong together.
        self.file.flush()
        os.fsync(self.file.fileno())
