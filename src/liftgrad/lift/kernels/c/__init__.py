"""C: the text of kernels as C99 functions."""
