"""Targets: the processors that kernels are made for, by the names that LLVM gives to features."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A processor, as far as kernels depend on it."""

    triple: str
    cpu: str
    features: str
    vector_bits: int
    registers: int
    fma: bool
    compiler: str = ""
    """The version of the compiler that described it, which is the one that compiles for it."""

    def lanes(self, dtype: str) -> int:
        """Return how many elements a vector holds."""
        return self.vector_bits // (64 if dtype == "float64" else 32)


def describe(triple: str, cpu: str, features: dict[str, bool]) -> Target:
    """Return the target with the widest vectors that the features name."""
    text = ",".join(f"{'+' if on else '-'}{name}" for name, on in sorted(features.items()))
    if triple.startswith(("x86_64", "i386", "i686")):
        bits = 512 if features.get("avx512f") else 256 if features.get("avx") else 128
        return Target(triple, cpu, text, bits, 32 if bits == 512 else 16, bool(features.get("fma")))
    # NEON and the like: 128 bits, 32 registers, and always a fused multiply-add.
    return Target(triple, cpu, text, 128, 32, fma=True)
