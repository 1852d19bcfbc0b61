"""The machine: a loop that switches to each node's operation, and another one backwards.

What it computes costs no compiling: recordings, and programs in which nothing repeats.
"""
