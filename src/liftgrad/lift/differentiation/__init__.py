"""Differentiation: groups that compute results become more groups, which compute their gradient.

`adjoint` pulls the groups one by one (`pull`), by derivative rules that run on a `symbol`; terms
count under conditions (`branches`), and loops over time go `backwards` (`backward_loops`).
"""
