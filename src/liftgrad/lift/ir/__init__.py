"""The two languages of programs, plain data both: groups of alike operations, and loop nests.

`groups` and `nests` define them, and `affine` fits index sequences with strides. `text` prints
programs, and `check` says which invariants (`rules_of_groups`, `rules_of_nests`) one breaks.
"""
