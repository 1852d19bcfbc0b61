"""The lift: from scalar programs to tensor programs in machine code.

The modules in the order in which a program travels: arguments, captured and trace; roll (groups);
adjoint; fuse, affine and schedule (program); tiling, llvm (target, vector_math), machine_code and
native, or numpy_executor; parameters, build, executable and api around them.

Python binds a package's name in its parent, whoever imports it first, and `liftgrad.lift` is to be
the decorator. So the function stands for the package, too: it has what imports ask a package for,
and it is a function to `help`, to editors and to whoever calls it.
"""

import sys

from liftgrad.lift.api import lift

__all__ = ["lift"]

vars(lift).update({**vars(sys.modules[__name__]), "__doc__": lift.__doc__})
lift.__module__, lift.__name__ = "liftgrad", __name__
sys.modules[__name__] = lift  # type: ignore[assignment]
