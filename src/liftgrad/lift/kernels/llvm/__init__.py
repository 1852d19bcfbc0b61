"""LLVM IR: the text of kernels for a processor's vectors, and of what runs beside them."""
