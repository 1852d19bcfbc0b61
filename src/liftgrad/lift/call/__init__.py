"""A call taken apart: Python objects in, numbers and a key of their structure out.

    loss(model, X, 0.1, depth=3)    →    groups of numbers    model's Values, X's elements, 0.1
                                         a key                their classes, shapes, order; depth=3

Calls with equal keys share one program. Equal, too, is what their functions capture (`capture`),
since that is looked up at each call and counts as arguments.
"""
