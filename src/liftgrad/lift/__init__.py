"""The lift: from scalar programs to tensor programs in machine code.

The modules in the order in which a program travels: arguments, captured and trace; roll (groups);
adjoint; fuse, affine and schedule (program); tiling, llvm (target, vector_math), machine_code and
native, or numpy_executor; parameters, build, executable and api around them.
"""

import sys
import types
from typing import Any


class _Decorator(types.ModuleType):
    """What `from liftgrad import lift` gives: this package, and the decorator that it is about.

    Python binds a package's name in its parent, whoever imports it first.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from liftgrad.lift import api  # noqa: PLC0415, which needs NumPy

        return api.lift(*args, **kwargs)


sys.modules[__name__].__class__ = _Decorator
