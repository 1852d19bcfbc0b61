"""Compiled programs at work: numbers go in, results and gradients come out.

    results       one call: numbers in, Values out, which know how to be differentiated
    executable    a program's results and gradients, in machine code or with NumPy
    bound         a native program with its memory, run whole or in `portions`
    parameters    Values whose numbers lie in the flat arrays that kernels read and write
    last_call     whether a call's arguments are like the last one's

`numpy_executor` computes groups in `array_arithmetic`, and `drawing` draws a call's random numbers.
"""
