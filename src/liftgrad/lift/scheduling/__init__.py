"""Scheduling: groups become loop nests in an order, on memory.

`schedule` decides what to `fuse`, has it composed (`draft`, `compose`), laid out in memory
(`layout`) and fitted with loops (`fit`). Of a loop over time it decides what is computed `again`
and what is added up in the loop (`sums_over_time`), and makes nests of the rows of all its steps
(`over_time`). Single `elements` take a short way, and what is rare among many expressions is cut so
that they have `few_forms`. `stages` says which nests may run a portion of a batch at a time.
"""
