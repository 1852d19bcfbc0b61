"""Recording mode: code runs undecorated, its operations are recorded and then computed in bulk.

Each module uses those after it only: context, operators, values, recording, machine, nodes.
"""
