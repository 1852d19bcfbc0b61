"""Rolling up: a tape's single operations become groups of operations that are alike.

`roll` makes them, of n-ary `sums` and of `classes` of alike nodes.
"""
