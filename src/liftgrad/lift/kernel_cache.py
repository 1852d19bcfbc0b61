"""Kernel cache: compiled kernels on disk, private to the user, so that a program starts fast.

Entries are named by a digest of all that made them: the kernels' text, the processor, the versions
of LLVM, llvmlite and liftgrad. Each begins with a digest of its own contents; one that does not
match is rebuilt, never loaded. A directory that others could write to is not used at all.
"""

import hashlib
import os
import stat
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path

_DIGEST = 32
_LIMIT = 256 * 2**20
"""Bytes that the cache may hold; the entries used longest ago go first."""


class KernelCache:
    """A directory of object files, of `limit` bytes at most; without one, nothing is kept."""

    def __init__(self, directory: Path | None, limit: int = _LIMIT) -> None:
        self.directory, self.limit = directory, limit

    @classmethod
    def of_user(cls) -> "KernelCache":
        """Return the user's cache: in $LIFTGRAD_CACHE_DIR, or where the system keeps caches.

        If LIFTGRAD_CACHE_DIR is empty, nothing is kept on disk.
        """
        chosen = os.environ.get("LIFTGRAD_CACHE_DIR")
        if chosen == "":
            return cls(None)
        if chosen is None:
            import platformdirs  # noqa: PLC0415, needed at the first lift only

            directory = platformdirs.user_cache_path("liftgrad") / "kernels"
        else:
            directory = Path(chosen)
        return cls(directory if _private(directory) else None)

    def load(self, key: str) -> bytes | None:
        """Return the object file of that key, or None if there is none that can be trusted."""
        if self.directory is None:
            return None
        path = self.directory / key
        try:
            contents = path.read_bytes()
            digest, code = contents[:_DIGEST], contents[_DIGEST:]
            if hashlib.sha256(key.encode() + code).digest() != digest:
                return None
        except OSError:
            return None
        with suppress(OSError):  # a cache that cannot be written to is one still
            os.utime(path)
        return code

    def store(self, key: str, code: bytes) -> None:
        """Keep an object file; a full or read-only disk is no error."""
        if self.directory is None:
            return
        contents = hashlib.sha256(key.encode() + code).digest() + code
        with suppress(OSError):
            file = tempfile.NamedTemporaryFile(dir=self.directory, delete=False)  # noqa: SIM115
            try:
                with file:
                    file.write(contents)
                # Whole or not at all, whoever else writes the same entry.
                Path(file.name).replace(self.directory / key)
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise
            self._shrink(self.directory)

    def _shrink(self, directory: Path) -> None:
        entries = []
        for path in directory.iterdir():
            with suppress(OSError):  # another process was faster
                status = path.stat()
                entries.append((status.st_mtime_ns, status.st_size, path))
        excess = sum(size for _, size, _ in entries) - self.limit
        for _, size, path in sorted(entries):
            if excess <= 0:
                break
            with suppress(OSError):
                path.unlink(missing_ok=True)
                excess -= size


def _private(directory: Path) -> bool:
    """Make the directory if need be; tell whether it is the user's own and closed to others."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.stat()
    except OSError as error:
        warnings.warn(
            f"compiled kernels are not kept: {directory} cannot be used ({error.strerror}); "
            "set LIFTGRAD_CACHE_DIR to a directory of your own.",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    if os.name != "posix":
        return True
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.geteuid() or mode & 0o022:
        warnings.warn(
            f"compiled kernels are not kept: others could write to {directory}; "
            "make it yours with chmod 700, or set LIFTGRAD_CACHE_DIR.",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    if mode & 0o077:
        with suppress(OSError):  # a file system mounted to be read only
            directory.chmod(mode & 0o700)
    return True
