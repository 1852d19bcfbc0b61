"""A program's results and its function's own in, the line where the two diverge out.

policy             is this program compared?          small ones are, once or twice
eager_run          what the function itself gives
difference         do the results agree?              yes: "", which ends it
divergence         where do the two go different ways, or is it rounding?
eager_arithmetic   what the recorded tape gives, computed as the eager engine would
"""
