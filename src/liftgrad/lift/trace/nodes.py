"""Nodes: what a tape is a list of, each a tuple of an operation and its operands.

    (operation, node, ...)      an operation of `ops`, on earlier nodes
    (LEAF, group, position)     an input: a position in a leaf group
    (CONSTANT, number)          a constant; nan and the two zeros as text
    (TABLE, node, ...)          the elements that a TAKE chooses from
    (TAKE, index, table)        the element at an index that is known at run time
    (BATCH_TOTAL, node)         the sum over all samples

The operands of a dot product, one node, are the left factors, the right ones, and the number that
the sum starts from: most of a network's operations are in its dot products.
"""

import math
from typing import Any

LEAF = "leaf"
CONSTANT = "constant"
TAKE = "take"
TABLE = "table"
BATCH_TOTAL = "batch total"
SAMPLES_LEAF = -1
"""The leaf group of one number: how many samples there are."""
CONSTANTS_LEAF = -2
"""The leaf group of constants that are inputs, since they are others from trace to trace."""
Node = tuple[Any, ...]


def number_of(text: float | str) -> float:
    """Return the number of a constant, which a node may hold as text.

    >>> number_of("-0.0")
    -0.0
    """
    return text if isinstance(text, float) else math.nan if text == "nan" else float(text)
