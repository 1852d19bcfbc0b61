"""Updates: an optimiser and gradients go in, groups that move the parameters come out.

    p ← p - lr·∂p      `rules` appends the optimiser's arithmetic to a program, for each parameter
                       `clipping` comes before it, and `step_state` holds what it reads and writes

`store_update` is a program of the update alone, for `optimizer.step()`.
"""
