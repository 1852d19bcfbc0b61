"""Kernel cache: compiled kernels on disk, private to the user, so that a program starts fast.

Entries are named by a digest of all that went into them: the kernels' text, the processor, the
versions of LLVM, llvmlite and liftgrad. Each begins with a digest of its contents; if that does not
match, the entry is rebuilt, never loaded. The folder is the cache's own, and files with other names
are left alone; a folder that others could write to is not used at all.
"""

import hashlib
import os
import re
import time
import warnings
from contextlib import suppress
from pathlib import Path

from liftgrad.lift.native.private_folder import Folder, ForeignError, make

_DIGEST = 32
_LIMIT = 256 * 2**20
"""The bytes that the cache may hold; the least recently used entries are deleted first."""
_HOUR = 3600.0


class KernelCache:
    """A folder of object files, of `limit` bytes at most; without one, nothing is kept."""

    def __init__(self, directory: Path | None, limit: int = _LIMIT) -> None:
        self.directory, self.limit = directory, limit

    @classmethod
    def of_user(cls) -> "KernelCache":
        """Return the user's cache: in $LIFTGRAD_CACHE_DIR, or where the system keeps caches.

        If LIFTGRAD_CACHE_DIR is empty, nothing is kept on disk. Otherwise each user has a folder in
        it, so that several may share it.
        """
        chosen = os.environ.get("LIFTGRAD_CACHE_DIR")
        if chosen == "":
            return cls(None)
        try:
            directory = _default() if chosen is None else _within(chosen)
        except (RuntimeError, OSError):  # no home, or no working directory
            what = f"nothing is known of '{chosen}'" if chosen else "the user has no home directory"
            _warn(what, "set")
            return cls(None)
        try:
            make(directory)
            with Folder.of(directory):
                return cls(directory)
        except ForeignError as error:
            _warn(f"{directory} {error}", "delete it, or set")
        except OSError as error:
            _warn(f"{directory} cannot be used ({error.strerror})", "set")
        return cls(None)

    def load(self, key: str) -> bytes | None:
        """Return the object file for a key; None: there is none that can be trusted."""
        if self.directory is None:
            return None
        try:
            with Folder.of(self.directory) as folder:
                name = _name(key)
                contents = folder.read(name, self.limit)
                if contents is None:
                    return None
                code = contents[_DIGEST:]
                if hashlib.sha256(key.encode() + code).digest() != contents[:_DIGEST]:
                    return None
                with suppress(OSError):  # a read-only cache is a cache
                    folder.touch(name)
                return code
        except OSError:
            return None

    def store(self, key: str, code: bytes) -> None:
        """Keep an object file; a full or read-only disk is no error."""
        if self.directory is None:
            return
        contents = hashlib.sha256(key.encode() + code).digest() + code
        name = _name(key)
        with suppress(OSError), Folder.of(self.directory) as folder:
            # Whole or not at all, even if another process writes the same entry.
            folder.write(name, f"{name}.{os.urandom(8).hex()}", contents)
            self._shrink(folder)

    def _shrink(self, folder: Folder) -> None:
        entries = []
        for name in folder.names():
            if re.fullmatch(_OURS, name):
                with suppress(OSError):  # another process was faster
                    status = folder.status(name)
                    entries.append((status.st_mtime, status.st_size, name))
        excess = sum(size for _, size, _ in entries) - self.limit
        since = time.time() - _HOUR
        for used, size, name in sorted(entries):
            left = not name.endswith(_ENDING) and used < since  # by a process that was killed
            if excess > 0 or left:
                with suppress(OSError):
                    folder.delete(name)
                    excess -= size


_ENDING = ".kernels"
_OURS = r"[0-9a-f]{64}\.kernels(\.[0-9a-f]{16})?"


def _name(key: str) -> str:
    return f"{key}{_ENDING}"


def _default() -> Path:
    import platformdirs  # noqa: PLC0415, needed at the first lift only

    return _absolute(platformdirs.user_cache_dir("liftgrad")) / "kernels"


def _within(chosen: str) -> Path:
    user = f"-{os.geteuid()}" if hasattr(os, "geteuid") else ""
    return _absolute(chosen) / f"liftgrad-kernels{user}"


def _absolute(path: str) -> Path:
    """Return a path from the root, without a ~ that no shell has replaced."""
    return Path(path).expanduser().absolute()


def _warn(what: str, advice: str) -> None:
    warnings.warn(
        f"compiled kernels are not kept: {what}; {advice} LIFTGRAD_CACHE_DIR to a directory of "
        "your own.",
        RuntimeWarning,
        stacklevel=3,
    )
