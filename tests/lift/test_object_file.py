"""Object files are loaded without LLVM, and run as LLVM would have loaded them."""

import ctypes
import struct
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from liftgrad.lift.kernels.llvm import vector_math
from liftgrad.lift.native import object_file
from liftgrad.lift.native.compiler import Loaded, emit_object, host

pytestmark = pytest.mark.skipif(
    not (sys.platform == "linux" and host().triple.startswith("x86_64")),
    reason="elsewhere LLVM loads all object files",
)

# Constants of 4 to 64 bytes, calls to the outside, calls within the file, and two functions.
MODULE = """
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

define void @cleared(ptr %p, i64 %bytes) noinline {
  call void @llvm.memset.p0.i64(ptr %p, i8 0, i64 %bytes, i1 false)
  ret void
}

define void @computed(ptr %p, ptr %q, i64 %bytes) {
  call void @llvm.memcpy.p0.p0.i64(ptr %q, ptr %p, i64 %bytes, i1 false)
  %x = load <8 x double>, ptr %p, align 8
  %a = fmul <8 x double> %x, <double 0.1, double 0.2, double 0.3, double 0.4, double 0.5,
                              double 0.6, double 0.7, double 0.8>
  %b = fadd <8 x double> %a, splat (double 0.3)
  %first = extractelement <8 x double> %b, i32 0
  %single = fptrunc double %first to float
  %scaled = fmul float %single, 0x3FB99999A0000000
  %wide = fpext float %scaled to double
  %c = insertelement <8 x double> %b, double %wide, i32 1
  store <8 x double> %c, ptr %p, align 8
  %tail = getelementptr i8, ptr %q, i64 8
  %rest = sub i64 %bytes, 8
  call void @cleared(ptr %tail, i64 %rest)
  ret void
}
"""
CALLING_SIN = """
declare double @sin(double)
define double @computed(double %x) {
  %y = call double @sin(double %x)
  ret double %y
}
"""


def results(loaded):
    """What the module computes of 1, ..., 8."""
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(
        loaded.address("computed")
    )
    p, q = np.arange(1.0, 9.0), np.full(8, 7.0)
    function(p.ctypes.data, q.ctypes.data, p.nbytes)
    return p.tolist(), q.tolist()


def test_it_runs_as_llvm_loads_it():
    """The same bits, with constants, calls to memset and memcpy, and a call within."""
    code = emit_object(MODULE, host())
    assert b"memset" in code
    found = object_file.load(code)
    assert results(found) == results(Loaded(code, host()))
    assert results(found)[1] == [1.0, *[0.0] * 7]


@pytest.mark.parametrize("name", ["exp", "tanh", "sin", "erf"])
def test_vector_mathematics_runs_as_llvm_loads_it(name):
    """Functions with many constants and tables."""
    function = (name, 8, "float64")
    text = vector_math.definitions([function], fma=host().fma)
    wrapper = f"""
    define void @computed(ptr %p, ptr %q, i64 %bytes) {{
      %x = load <8 x double>, ptr %p, align 8
      %y = call <8 x double> {vector_math.symbol(*function)}(<8 x double> %x)
      store <8 x double> %y, ptr %p, align 8
      ret void
    }}
    """
    code = emit_object(text + wrapper, host())
    assert results(object_file.load(code)) == results(Loaded(code, host()))


def with_relocations_of(kind, code):
    """The file with another number for the kind of all its relocations."""
    changed = bytearray(code)
    for section in object_file._sections(code):
        if section.kind == object_file._ADDENDS:
            for start in range(section.offset, section.offset + section.size, 24):
                struct.pack_into("<I", changed, start + 8, kind)
    return bytes(changed)


def test_what_it_does_not_know_is_left_to_llvm():
    """Other processors' files, other systems' formats, other relocations, other libraries."""
    code = emit_object(MODULE, host())
    assert object_file.load(code) is not None
    assert object_file.load(code[:18] + struct.pack("<H", 183) + code[20:]) is None  # AArch64
    assert object_file.load(b"\xcf\xfa\xed\xfe" + code[4:]) is None  # Mach-O
    assert object_file.load(with_relocations_of(10, code)) is None
    assert object_file.load(emit_object(CALLING_SIN, host())) is None


def test_memory_with_code_cannot_be_written():
    """It is either written or run."""
    found = object_file.load(emit_object(MODULE, host()))
    address = found.address("computed")
    with open("/proc/self/maps") as maps:  # noqa: PTH123
        for line in maps:
            first, last = (int(x, 16) for x in line.split()[0].split("-"))
            if first <= address < last:
                assert line.split()[1] == "r-xp"
                return
    raise AssertionError("the code is nowhere")


PROGRAM = """
import sys
from liftgrad import Value, lift
x = [Value(0.5), Value(2.0)]
lift(lambda xs: sum(a.tanh() * a for a in xs))(x).backward()
loaded = "llvmlite.binding" in sys.modules
lift(lambda xs: sum(a.{name}() * a for a in xs))(x).backward()
print(loaded, "llvmlite.binding" in sys.modules, x[0].grad.hex())
"""


@pytest.mark.process
def test_llvm_is_loaded_only_if_something_is_new(tmp_path, monkeypatch):
    """A second process runs what the first one compiled, to the same bits."""
    monkeypatch.setenv("LIFTGRAD_CACHE_DIR", str(tmp_path / "kernels"))

    def run(name):
        program = textwrap.dedent(PROGRAM).format(name=name)
        output = subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
        )
        return output.stdout.split()

    first = run("exp")
    assert first[:2] == ["True", "True"]
    assert run("exp") == ["False", "False", first[2]]
    assert run("sin")[:2] == ["False", "True"]
