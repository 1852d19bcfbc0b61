"""The tape: scalar operations as they happen in, a list of nodes out.

    a * b + 1.0    →    0 (LEAF, 0, 0)       a, the first number of the first leaf group
                        1 (LEAF, 0, 1)       b
                        2 (multiply, 0, 1)
                        3 (CONSTANT, 1.0)
                        4 (add, 2, 3)

Operands are the indices of earlier nodes.
"""
