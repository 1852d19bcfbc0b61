"""A program's results and its function's own go in, the line where the two diverge comes out.

    policy              is this program compared?     Small ones are, once or twice.
    eager_run           what does the function itself give?
    difference          do the results agree?         "" ends it.
    divergence          where do the two go different ways, or is it rounding?
    eager_arithmetic    what does the tape give, computed as the eager engine would?

Later calls pay for none of it.
"""
