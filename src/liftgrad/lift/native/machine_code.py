"""Machine code: kernels' IR compiled and loaded, each text once in a process."""

import ctypes
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, Protocol
from weakref import WeakValueDictionary

from liftgrad.errors import LiftError
from liftgrad.lift.forks import waited_for
from liftgrad.lift.kernels import vector_math
from liftgrad.lift.kernels.target import Target
from liftgrad.lift.kernels.twister import TWISTER
from liftgrad.lift.kernels.writer import Kernel
from liftgrad.lift.native import object_file
from liftgrad.lift.native.cache import KernelCache
from liftgrad.version import __version__

DRIVER = """
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)

; Run a plan: pairs of a kernel and its arguments.
define void @run(ptr %plan, i64 %count) {
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %body, label %done
body:
  %twice = mul nuw nsw i64 %i, 2
  %slot = getelementptr ptr, ptr %plan, i64 %twice
  %kernel = load ptr, ptr %slot, align 8
  %second = getelementptr ptr, ptr %slot, i64 1
  %arguments = load ptr, ptr %second, align 8
  call void %kernel(ptr %arguments)
  %next = add nuw nsw i64 %i, 1
  br label %head
done:
  ret void
}

; Run a plan that begins with its number of pairs.
define void @run_counted(ptr %words) {
entry:
  %count = load i64, ptr %words, align 8
  %plan = getelementptr i64, ptr %words, i64 1
  call void @run(ptr %plan, i64 %count)
  ret void
}

; Run a plan `steps` times. Before each, copy the step's `width` bytes of scalars to `target` and
; the address of its row of `orders` to `order`; afterwards copy `size` bytes of loss to history.
define void @train(ptr %plan, i64 %count, i64 %steps, ptr %scalars, i64 %width, ptr %target,
                   ptr %orders, i64 %stride, ptr %order, ptr %loss, i64 %size, ptr %history) {
entry:
  br label %head
head:
  %step = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp slt i64 %step, %steps
  br i1 %more, label %body, label %done
body:
  %offset = mul i64 %step, %width
  %row = getelementptr i8, ptr %scalars, i64 %offset
  call void @llvm.memcpy.p0.p0.i64(ptr %target, ptr %row, i64 %width, i1 false)
  %along = mul i64 %step, %stride
  %batch = getelementptr i8, ptr %orders, i64 %along
  store ptr %batch, ptr %order, align 8
  call void @run(ptr %plan, i64 %count)
  %kept = mul i64 %step, %size
  %place = getelementptr i8, ptr %history, i64 %kept
  call void @llvm.memcpy.p0.p0.i64(ptr %place, ptr %loss, i64 %size, i1 false)
  %next = add nuw nsw i64 %step, 1
  br label %head
done:
  ret void
}
"""


PORTIONS = """
; Run a plan for the samples first, ..., last - 1, `portion` at a time: for each of the `moving`
; triples (address of a word, base, bytes of an item) the word becomes the portion's first address,
; and the words at `counts` become its size.
define void @portions(ptr %plan, i64 %count, ptr %moving, i64 %nmoving, ptr %counts, i64 %ncounts,
                      i64 %first, i64 %last, i64 %portion) {
entry:
  br label %head
head:
  %start = phi i64 [ %first, %entry ], [ %stop, %ran ]
  %more = icmp slt i64 %start, %last
  br i1 %more, label %move, label %done
move:
  %stop = add i64 %start, %portion
  %left = sub i64 %last, %start
  %short = icmp slt i64 %left, %portion
  %size = select i1 %short, i64 %left, i64 %portion
  br label %movehead
movehead:
  %m = phi i64 [ 0, %move ], [ %nextm, %movebody ]
  %moremoving = icmp slt i64 %m, %nmoving
  br i1 %moremoving, label %movebody, label %counthead
movebody:
  %triple = mul i64 %m, 3
  %tp = getelementptr i64, ptr %moving, i64 %triple
  %word = load ptr, ptr %tp, align 8
  %bp = getelementptr i64, ptr %tp, i64 1
  %base = load i64, ptr %bp, align 8
  %ip = getelementptr i64, ptr %tp, i64 2
  %item = load i64, ptr %ip, align 8
  %shift = mul i64 %start, %item
  %address = add i64 %base, %shift
  store i64 %address, ptr %word, align 8
  %nextm = add i64 %m, 1
  br label %movehead
counthead:
  %c = phi i64 [ 0, %movehead ], [ %nextc, %countbody ]
  %morecounts = icmp slt i64 %c, %ncounts
  br i1 %morecounts, label %countbody, label %ran
countbody:
  %cp = getelementptr i64, ptr %counts, i64 %c
  %cw = load ptr, ptr %cp, align 8
  store i64 %size, ptr %cw, align 8
  %nextc = add i64 %c, 1
  br label %counthead
ran:
  call void @run(ptr %plan, i64 %count)
  br label %head
done:
  ret void
}
"""

GATHER = """
; Copy the rows that a batch names: target[places[row][column]] = source[order[row]][column].
; Arguments: source, target, the address of the address of order, rows, columns, places.
define void @gather{bits}(ptr %args) {{
entry:
  %source = load ptr, ptr %args, align 8
  %a1 = getelementptr ptr, ptr %args, i64 1
  %target = load ptr, ptr %a1, align 8
  %a2 = getelementptr ptr, ptr %args, i64 2
  %slot = load ptr, ptr %a2, align 8
  %order = load ptr, ptr %slot, align 8
  %a3 = getelementptr ptr, ptr %args, i64 3
  %rows = load i64, ptr %a3, align 8
  %a4 = getelementptr ptr, ptr %args, i64 4
  %columns = load i64, ptr %a4, align 8
  %a5 = getelementptr ptr, ptr %args, i64 5
  %places = load ptr, ptr %a5, align 8
  br label %head
head:
  %row = phi i64 [ 0, %entry ], [ %nextrow, %rowdone ]
  %more = icmp slt i64 %row, %rows
  br i1 %more, label %inner, label %done
inner:
  ; Rows are anywhere: ask early for the lines at which a later one begins.
  %ahead = add i64 %row, 8
  %within = icmp slt i64 %ahead, %rows
  %later = select i1 %within, i64 %ahead, i64 %row
  %ls = getelementptr i64, ptr %order, i64 %later
  %latersample = load i64, ptr %ls, align 8
  %laterfrom = mul i64 %latersample, %columns
  %line0 = getelementptr i{bits}, ptr %source, i64 %laterfrom
  %line1 = getelementptr i8, ptr %line0, i64 64
  call void @llvm.prefetch.p0(ptr %line0, i32 0, i32 3, i32 1)
  call void @llvm.prefetch.p0(ptr %line1, i32 0, i32 3, i32 1)
  %os = getelementptr i64, ptr %order, i64 %row
  %sample = load i64, ptr %os, align 8
  %from = mul i64 %sample, %columns
  %to = mul i64 %row, %columns
  br label %loop
loop:
  %column = phi i64 [ 0, %inner ], [ %nextcolumn, %body ]
  %left = icmp slt i64 %column, %columns
  br i1 %left, label %body, label %rowdone
body:
  %si = add i64 %from, %column
  %sp = getelementptr i{bits}, ptr %source, i64 %si
  %x = load i{bits}, ptr %sp, align 4
  %pi = add i64 %to, %column
  %pp = getelementptr i64, ptr %places, i64 %pi
  %place = load i64, ptr %pp, align 8
  %tp = getelementptr i{bits}, ptr %target, i64 %place
  store i{bits} %x, ptr %tp, align 4
  %nextcolumn = add i64 %column, 1
  br label %loop
rowdone:
  %nextrow = add i64 %row, 1
  br label %head
done:
  ret void
}}
"""


ADD = """
; Add `size` numbers to others: target[i] += source[i]. Arguments: target, source, size.
define void @add{bits}(ptr %args) {{
entry:
  %target = load ptr, ptr %args, align 8
  %a1 = getelementptr ptr, ptr %args, i64 1
  %source = load ptr, ptr %a1, align 8
  %a2 = getelementptr ptr, ptr %args, i64 2
  %size = load i64, ptr %a2, align 8
  %whole = and i64 %size, -8
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, %whole
  br i1 %more, label %body, label %resthead
body:
  %tp = getelementptr {kind}, ptr %target, i64 %i
  %sp = getelementptr {kind}, ptr %source, i64 %i
  %t = load <8 x {kind}>, ptr %tp, align {bytes}
  %s = load <8 x {kind}>, ptr %sp, align {bytes}
  %sum = fadd <8 x {kind}> %t, %s
  store <8 x {kind}> %sum, ptr %tp, align {bytes}
  %next = add i64 %i, 8
  br label %head
resthead:
  %j = phi i64 [ %whole, %head ], [ %nextj, %rest ]
  %left = icmp slt i64 %j, %size
  br i1 %left, label %rest, label %done
rest:
  %tq = getelementptr {kind}, ptr %target, i64 %j
  %sq = getelementptr {kind}, ptr %source, i64 %j
  %t1 = load {kind}, ptr %tq, align {bytes}
  %s1 = load {kind}, ptr %sq, align {bytes}
  %sum1 = fadd {kind} %t1, %s1
  store {kind} %sum1, ptr %tq, align {bytes}
  %nextj = add i64 %j, 1
  br label %resthead
done:
  ret void
}}
"""

_DRIVER_TEXT = "".join(
    [
        *(DRIVER, PORTIONS, GATHER.format(bits=64), GATHER.format(bits=32)),
        ADD.format(bits=64, kind="double", bytes=8),
        ADD.format(bits=32, kind="float", bytes=4),
        TWISTER,
    ]
)
_DRIVERS = (
    *("run", "run_counted", "train", "portions"),
    *("gather64", "gather32", "add64", "add32", "draw64", "draw32"),
)


_MOST_RECENT = 1024
"""Kernels that stay loaded although nobody uses them now; functions of one kind share most."""


class MachineCode:
    """Compiled kernels of this process for one target."""

    def __init__(self, target: Target, cache: KernelCache) -> None:
        self.target, self.cache = target, cache
        self.identity = (
            *(target.triple, target.cpu, target.features, target.compiler),
            __version__,
        )
        """What, beside its text, a kernel's machine code depends on."""
        self.lock = waited_for()
        self.addresses: dict[str, int] = {}
        """Of the drivers, which are always there."""
        self._known: WeakValueDictionary[bytes, Code] = WeakValueDictionary()
        """Kernels by a digest of their text, as long as somebody uses them."""
        self._recent: OrderedDict[bytes, Code] = OrderedDict()
        """Those that somebody is likely to use again."""
        self.run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._driver("run_counted"))
        # The GIL stays held, which spares a tenth of a microsecond.
        self.run_briefly = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(self._driver("run_counted"))
        self.portions = ctypes.CFUNCTYPE(
            None,
            *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64),
            *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64),
        )(self._driver("portions"))
        self.train = ctypes.CFUNCTYPE(
            None,
            *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64),
            *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p),
            *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p),
            *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p),
        )(self._driver("train"))

    def kernels(self, kernels: Sequence[Kernel]) -> list["Code"]:
        """Return the kernels' code, compiling those that are new together."""
        keys = [hashlib.sha256(kernel.text.encode()).digest() for kernel in kernels]
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

    def _driver(self, name: str) -> int:
        with self.lock:
            if "run" not in self.addresses:
                self._drivers = self._load(self._object(_DRIVER_TEXT))
                for function in _DRIVERS:
                    self.addresses[function] = self._drivers.address(function)
        return self.addresses[name]

    def _object(self, text: str) -> bytes:
        """Return the module's object file, from the cache or compiled."""
        key = hashlib.sha256("\0".join([text, *self.identity]).encode()).hexdigest()
        code = self.cache.load(key)
        if code is None:
            code = _compiler().emit_object(text, self.target)
            self.cache.store(key, code)
        return code

    def _load(self, code: bytes) -> "_Loaded":
        return object_file.load(code) or _compiler().Loaded(code, self.target)


class Code:
    """A kernel's code, in memory for as long as this is."""

    def __init__(self, loaded: "_Loaded", name: str) -> None:
        self.address = loaded.address(name)
        self._loaded = loaded


class _Loaded(Protocol):
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


def module_text(kernels: Iterable[Kernel], target: Target) -> str:
    """Return one module of the kernels, named @k0, @k1, ..."""
    kernels = list(kernels)
    functions = {function for kernel in kernels for function in kernel.functions}
    parts = [kernel.text.replace("@kernel(", f"@k{i}(", 1) for i, kernel in enumerate(kernels)]
    return "\n".join(
        [vector_math.definitions(functions, fma=target.fma) if functions else "", *parts]
    )
