"""What the kernels are made for: a processor's vectors, described by LLVM's feature names."""

from dataclasses import dataclass


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


def describe(triple: str, cpu: str, features: dict[str, bool]) -> Target:
    """Return the target with the widest vectors that the features name."""
    text = ",".join(f"{'+' if on else '-'}{name}" for name, on in sorted(features.items()))
    if triple.startswith(("x86_64", "i386", "i686")):
        bits = 512 if features.get("avx512f") else 256 if features.get("avx") else 128
        return Target(triple, cpu, text, bits, 32 if bits == 512 else 16, bool(features.get("fma")))
    # NEON and its like: 128 bits, 32 registers, fused multiply-add always there.
    return Target(triple, cpu, text, 128, 32, fma=True)
