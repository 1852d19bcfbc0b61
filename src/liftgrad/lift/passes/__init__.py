"""The passes: each takes a program and returns another one, and changes nothing that it was given.

    tape ── roll ──▶ groups ── adjoint ──▶ groups ── schedule ──▶ nests ── stages ──▶ an order

`roll` finds `sums` and `classes` of alike nodes; `adjoint` runs derivative rules on a `symbol`, and
the terms count under conditions (`branches`); `schedule` decides what to `fuse`, has it composed
(`draft`, `compose`), laid out in memory (`layout`) and fitted with loops (`fit`).
"""
