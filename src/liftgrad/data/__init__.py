"""Data: sets made by formula, and tables from files."""

from liftgrad.data.encoding import TableEncoder
from liftgrad.data.points import Array, make_moons
from liftgrad.data.reading import TableStream, read_table
from liftgrad.data.table import Column, Table, TableError, infer_task

__all__ = [
    "Array",
    "Column",
    "Table",
    "TableEncoder",
    "TableError",
    "TableStream",
    "infer_task",
    "make_moons",
    "read_table",
]
