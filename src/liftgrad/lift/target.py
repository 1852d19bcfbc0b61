"""What the kernels are made for: a processor's vectors, described by LLVM's feature names."""

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Target:
    """A processor as the kernel generator sees it."""

    triple: str
    cpu: str
    features: str
    vector_bits: int
    registers: int
    fma: bool

    def lanes(self, dtype: str) -> int:
        """How many numbers one vector holds."""
        return self.vector_bits // (64 if dtype == "float64" else 32)


@lru_cache
def host(vector_bits: int | None = None) -> Target:
    """Return this machine, its vectors narrowed to `vector_bits` (128, 256 or 512) if given."""
    from llvmlite import binding as llvm  # noqa: PLC0415, keeps LLVM out of `import liftgrad`

    features = dict(llvm.get_host_cpu_features())
    if vector_bits is not None and vector_bits < 512:
        features = {k: v and "avx512" not in k and k != "evex512" for k, v in features.items()}
    if vector_bits is not None and vector_bits < 256:
        wide = ("avx", "fma", "f16c", "vaes", "vpclmulqdq", "xop", "fma4")
        features = {k: v and not k.startswith(wide) for k, v in features.items()}
    return describe(llvm.get_process_triple(), llvm.get_host_cpu_name(), features)


def describe(triple: str, cpu: str, features: dict[str, bool]) -> Target:
    """Return the target with the widest vectors that the features name."""
    text = ",".join(f"{'+' if on else '-'}{name}" for name, on in sorted(features.items()))
    if triple.startswith(("x86_64", "i386", "i686")):
        bits = 512 if features.get("avx512f") else 256 if features.get("avx") else 128
        return Target(triple, cpu, text, bits, 32 if bits == 512 else 16, bool(features.get("fma")))
    # NEON and its like: 128 bits, 32 registers, fused multiply-add always there.
    return Target(triple, cpu, text, 128, 32, fma=True)
