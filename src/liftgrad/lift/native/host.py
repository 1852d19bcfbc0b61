"""Known host: this machine as LLVM describes it, without LLVM once that is known."""

import hashlib
import itertools
import json
from dataclasses import asdict, fields
from pathlib import Path

from liftgrad.lift.kernels.target import Target
from liftgrad.lift.native.cache import KernelCache
from liftgrad.version import __version__


def known_host(cache: KernelCache, vector_bits: int | None) -> Target:
    """Return `compiler.host(vector_bits)`, from the cache if LLVM has seen the processor before.

    Raises:
        ImportError, OSError: if LLVM is needed and cannot be loaded.

    """
    processor = _processor()
    if processor is None:
        return _described(vector_bits)
    of = [__version__, *[field.name for field in fields(Target)], processor]
    key = hashlib.sha256("\0".join(["target", str(vector_bits), *of]).encode()).hexdigest()
    known = cache.load(key)
    if known is not None:
        return Target(**json.loads(known))
    target = _described(vector_bits)
    cache.store(key, json.dumps(asdict(target)).encode())
    return target


def _described(vector_bits: int | None) -> Target:
    from liftgrad.lift.native import compiler  # noqa: PLC0415, loads LLVM

    return compiler.host(vector_bits)


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
