"""A call taken apart: Python objects in, numbers and a key of their structure out.

    loss(model, X, 0.1, depth=3)    →    groups of numbers    model's Values, X's elements, 0.1
                                         a key                their classes, shapes, order; depth=3

Whether a call is like an earlier one is several questions, each answered in one file:

    `keys`                   can the same program serve both?
    `snapshots`              is what a program bakes in the same? (an entry of the keys)
    `capture.closure`        do captured names stand for the same? (they count as arguments)
    `run.last_call`          is all but its numbers the last call's? Then it is not flattened.
    `first_numbers`          are its numbers the first call's? Others are compared with eager once.
"""
