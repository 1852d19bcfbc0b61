"""The lift: from scalar programs to tensor programs in machine code.

The modules in the order in which a program travels: arguments, captured and trace; roll (groups);
adjoint; fuse, affine and schedule (program); llvm (target, vector_math), machine_code and native,
or numpy_executor; parameters, build, executable and api around them.
"""
