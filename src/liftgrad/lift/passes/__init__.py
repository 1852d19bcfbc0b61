"""The passes: each takes a program and returns another one, and changes nothing that it was given.

    tape ── roll ──▶ groups ── adjoint ──▶ groups ── schedule ──▶ nests ── stages ──▶ an order

`roll` finds `sums` and `classes` of alike nodes; `adjoint` pulls the groups one by one (`pull`), by
derivative rules that run on a `symbol`, the terms count under conditions (`branches`), and loops
over time go `backwards` (`backward_loops`); `schedule` decides what to `fuse`, has it composed
(`draft`, `compose`), laid out in memory (`layout`) and fitted with loops (`fit`). Of a loop over
time it decides what is computed `again` and what is added up in the loop (`sums_over_time`), and
makes nests of the rows of all its steps (`over_time`).
"""
