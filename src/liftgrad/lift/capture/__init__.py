"""A function's surroundings: the function in, what it captures and a traceable copy of it out.

    scale = 2.0
    def loss(w, x):                     captured: scale, which counts as an argument
        return (scale * w * x) ** 2     copied:   loss, and functions of its module that it calls

While the copy runs, once for many calls, whatever makes it impure is refused: reading the clock or
a file, drawing random numbers, changing what outlives the call.
"""
