"""Host: this process's compiled kernels, for the machine as LLVM describes it.

The description is kept on disk, so that LLVM need not be loaded where nothing is new.
"""

import hashlib
import itertools
import json
import os
import warnings
from dataclasses import asdict, fields
from functools import lru_cache
from pathlib import Path

from liftgrad.errors import LiftError
from liftgrad.lift.forks import fork_safe_lock
from liftgrad.lift.kernels.llvm.target import Target
from liftgrad.lift.native.cache import KernelCache
from liftgrad.lift.native.machine_code import MachineCode
from liftgrad.version import __version__


def machine_code() -> MachineCode | None:
    """Return this process's compiled kernels, or None, with a warning, where LLVM is missing.

    LIFTGRAD_VECTOR_BITS=128 or 256 makes vectors narrower than the processor's.

    Raises:
        LiftError: if it is set to something else.

    """
    chosen = os.environ.get("LIFTGRAD_VECTOR_BITS", "")
    if chosen not in ("", "128", "256", "512"):
        raise LiftError(
            f"LIFTGRAD_VECTOR_BITS is '{chosen}'; set it to 128, 256 or 512, or not at all."
        )
    with _loading:
        return _machine_code(int(chosen) if chosen else None)


_loading = fork_safe_lock()


@lru_cache
def _machine_code(vector_bits: int | None) -> MachineCode | None:
    cache = KernelCache.of_user()
    try:
        return MachineCode(known_host(cache, vector_bits), cache)
    except (ImportError, OSError) as error:
        _warn(f"LLVM cannot be loaded ({error})", "Install llvmlite for native speed.")
    except RuntimeError as error:
        # Where it is built for a processor that it cannot describe or write code for.
        _warn(f"LLVM does not know this processor ({error})", "Another llvmlite may.")
    return None


def _warn(what: str, advice: str) -> None:
    warnings.warn(
        f"{what}; lifted functions run on NumPy, more slowly. {advice}",
        RuntimeWarning,
        stacklevel=4,
    )


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
