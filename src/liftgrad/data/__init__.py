"""Data: synthetic sets, scikit-learn's small real sets, and tables from files.

>>> X, y = make_moons(100, noise=0.1, seed=1337)
>>> X.shape, y.shape
((100, 2), (100,))
"""

from liftgrad.data.bundled import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)
from liftgrad.data.curves import make_curve
from liftgrad.data.encoding import TableEncoder
from liftgrad.data.loader import Loader
from liftgrad.data.points import (
    Array,
    make_blobs,
    make_checkerboard,
    make_circles,
    make_moons,
    make_spirals,
    make_xor,
)
from liftgrad.data.reading import TableStream, read_table
from liftgrad.data.stored import store
from liftgrad.data.table import Column, Table, TableError, infer_task

__all__ = [
    "Array",
    "Column",
    "Loader",
    "Table",
    "TableEncoder",
    "TableError",
    "TableStream",
    "infer_task",
    "load_breast_cancer",
    "load_diabetes",
    "load_digits",
    "load_iris",
    "load_wine",
    "make_blobs",
    "make_checkerboard",
    "make_circles",
    "make_curve",
    "make_moons",
    "make_spirals",
    "make_xor",
    "read_table",
    "store",
]
