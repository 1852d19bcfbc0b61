"""Recording mode: code runs undecorated, its operations are recorded and then computed in bulk.

Each module uses only those after it: context, operators, recorder, values, recording, machine,
kernels, nodes.
"""
