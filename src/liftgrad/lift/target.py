"""What the kernels are made for: a processor's vectors, described by LLVM's feature names."""

import hashlib
import itertools
import json
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path

import liftgrad
from liftgrad.lift.kernel_cache import KernelCache


@dataclass(frozen=True, slots=True)
class Target:
    """A processor as the kernel generator sees it."""

    triple: str
    cpu: str
    features: str
    vector_bits: int
    registers: int
    fma: bool
    compiler: str = ""
    """The version of the compiler that described it, which is the one that compiles for it."""

    def lanes(self, dtype: str) -> int:
        """How many numbers one vector holds."""
        return self.vector_bits // (64 if dtype == "float64" else 32)


@lru_cache
def host(vector_bits: int | None = None) -> Target:
    """Return this machine, its vectors narrowed to `vector_bits` (128, 256 or 512) if given."""
    from llvmlite import binding as llvm  # noqa: PLC0415, loads LLVM

    from liftgrad.lift import compiler  # noqa: PLC0415, loads LLVM

    features = dict(llvm.get_host_cpu_features())
    if vector_bits is not None and vector_bits < 512:
        features = {k: v and "avx512" not in k and k != "evex512" for k, v in features.items()}
    if vector_bits is not None and vector_bits < 256:
        wide = ("avx", "fma", "f16c", "vaes", "vpclmulqdq", "xop", "fma4")
        features = {k: v and not k.startswith(wide) for k, v in features.items()}
    target = describe(llvm.get_process_triple(), llvm.get_host_cpu_name(), features)
    return replace(target, compiler=compiler.version())


def known_host(cache: KernelCache, vector_bits: int | None) -> Target:
    """Return `host(vector_bits)`, from the cache if LLVM has seen this processor before.

    Raises:
        ImportError, OSError: if LLVM is needed and cannot be loaded.

    """
    processor = _processor()
    if processor is None:
        return host(vector_bits)
    of = [liftgrad.__version__, *[field.name for field in fields(Target)], processor]
    key = hashlib.sha256("\0".join(["target", str(vector_bits), *of]).encode()).hexdigest()
    known = cache.load(key)
    if known is not None:
        return Target(**json.loads(known))
    target = host(vector_bits)
    cache.store(key, json.dumps(asdict(target)).encode())
    return target


def _processor() -> str | None:
    """Return what LLVM's description of this machine depends on, or None if that is unknown."""
    import llvmlite  # noqa: PLC0415, may be missing; this does not load its library

    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            first = list(itertools.takewhile(str.strip, file))  # cores are divided by empty lines
        library = next(Path(llvmlite.__file__).parent.glob("binding/*llvmlite.*")).stat()
    except (OSError, StopIteration):
        return None
    about = [line for line in first if line.startswith(_ABOUT)]
    parts = [llvmlite.__version__, str(library.st_size), str(library.st_mtime_ns), *about]
    return "\0".join(parts) if len(about) == len(_ABOUT) else None


_ABOUT = ("vendor_id", "cpu family", "model\t", "model name", "stepping", "flags")


def describe(triple: str, cpu: str, features: dict[str, bool]) -> Target:
    """Return the target with the widest vectors that the features name."""
    text = ",".join(f"{'+' if on else '-'}{name}" for name, on in sorted(features.items()))
    if triple.startswith(("x86_64", "i386", "i686")):
        bits = 512 if features.get("avx512f") else 256 if features.get("avx") else 128
        return Target(triple, cpu, text, bits, 32 if bits == 512 else 16, bool(features.get("fma")))
    # NEON and its like: 128 bits, 32 registers, fused multiply-add always there.
    return Target(triple, cpu, text, 128, 32, fma=True)
