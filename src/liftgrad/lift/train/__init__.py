"""Training steps: a loss and an optimiser go in, many steps in one native call come out.

    training       runs of steps, with a program for each size of batch
    step           what trainers of one structure share: the program of a step, without numbers
    step_program   a step with its numbers: `step_data` in, `native_steps` or NumPy takes it

`nonfinite` says where a loss became nan, `separable` whether it may be computed in portions.
"""
