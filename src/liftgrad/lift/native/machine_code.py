"""Machine code: kernels compiled and loaded, each text once in a process."""

import ctypes
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol
from weakref import WeakValueDictionary

from liftgrad.errors import LiftError
from liftgrad.lift.forks import fork_safe_lock
from liftgrad.lift.kernels.llvm import runtime
from liftgrad.lift.kernels.llvm.target import Target
from liftgrad.lift.kernels.llvm.writer import module_text
from liftgrad.lift.kernels.writer import Kernel
from liftgrad.lift.native import object_file
from liftgrad.lift.native.cache import KernelCache
from liftgrad.version import __version__

_MOST_RECENT = 1024
"""Kernels that stay loaded when unused; functions of one kind share most of theirs."""


class MachineCode:
    """Compiled kernels of this process for one target."""

    def __init__(self, target: Target, cache: KernelCache) -> None:
        self.target, self.cache = target, cache
        self.identity = (
            *(target.triple, target.cpu, target.features, target.compiler),
            __version__,
        )
        """What, beside its text, a kernel's machine code depends on."""
        self.lock = fork_safe_lock()
        self.addresses: dict[str, int] = {}
        """Of the runtime's functions, which are always loaded."""
        self._known: WeakValueDictionary[bytes, Code] = WeakValueDictionary()
        """Kernels in use, by a digest of their text."""
        self._recent: OrderedDict[bytes, Code] = OrderedDict()
        """Those used last, which are likely to be used again."""
        self.run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._runtime("run_counted"))
        # The GIL stays held, which spares a tenth of a microsecond.
        self.run_briefly = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(self._runtime("run_counted"))
        self.portions = ctypes.CFUNCTYPE(
            None,
            *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64),
            *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64),
        )(self._runtime("portions"))
        self.train = ctypes.CFUNCTYPE(
            None,
            *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64),
            *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p),
            *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p),
            *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p),
        )(self._runtime("train"))

    def kernels(self, kernels: Sequence[Kernel]) -> list["Code"]:
        """Return the kernels' code, compiling those that are new together."""
        digests = {
            text: hashlib.sha256(text.encode()).digest()
            for text in {kernel.text for kernel in kernels}
        }
        keys = [digests[kernel.text] for kernel in kernels]
        with self.lock:
            found = {key: self._known.get(key) for key in keys}
            new = {k: kernel for k, kernel in zip(keys, kernels, strict=True) if not found[k]}
            if new:
                loaded = self._load(self._object(module_text(new.values(), self.target)))
                for i, key in enumerate(new):
                    found[key] = self._known[key] = Code(loaded, f"k{i}")
            codes = [code for key in keys if (code := found[key])]
            for key, code in zip(keys, codes, strict=True):
                self._recent[key] = code
                self._recent.move_to_end(key)
            while len(self._recent) > _MOST_RECENT:
                self._recent.popitem(last=False)
        return codes

    def _runtime(self, name: str) -> int:
        with self.lock:
            if not self.addresses:
                self._loaded = self._load(self._object(runtime.RUNTIME))
                for function in runtime.FUNCTIONS:
                    self.addresses[function] = self._loaded.address(function)
        return self.addresses[name]

    def _object(self, text: str) -> bytes:
        """Return the module's object file, from the cache or compiled."""
        key = hashlib.sha256("\0".join([text, *self.identity]).encode()).hexdigest()
        code = self.cache.load(key)
        if code is None:
            code = _compiler().emit_object(text, self.target)
            self.cache.store(key, code)
        return code

    def _load(self, code: bytes) -> "_InMemory":
        return object_file.load(code) or _compiler().Loaded(code, self.target)


class Code:
    """A kernel's code, in memory for as long as this is."""

    def __init__(self, loaded: "_InMemory", name: str) -> None:
        self.address = loaded.address(name)
        self._loaded = loaded


class _InMemory(Protocol):
    """An object file in memory."""

    def address(self, name: str) -> int:
        """Return the address of a function."""


def _compiler() -> Any:
    """Return the compiler, loaded when there is something new to compile."""
    try:
        from liftgrad.lift.native import compiler  # noqa: PLC0415, loads LLVM
    except (ImportError, OSError) as error:
        raise LiftError(
            f"LLVM cannot be loaded any more ({error}); install llvmlite anew, or lift with "
            "backend='numpy'."
        ) from None
    return compiler
