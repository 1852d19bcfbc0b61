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
from pathlib import Path

_DIGEST = 32
_LIMIT = 256 * 2**20
"""Bytes that the cache may hold; the entries used longest ago go first."""


class KernelCache:
    """A directory of object files."""

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory

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
            os.utime(path)
        except OSError:
            return None
        return code

    def store(self, key: str, code: bytes) -> None:
        """Keep an object file; a full or read-only disk is no error."""
        if self.directory is None:
            return
        contents = hashlib.sha256(key.encode() + code).digest() + code
        try:
            with tempfile.NamedTemporaryFile(dir=self.directory, delete=False) as file:
                file.write(contents)
            # Whole or not at all, whoever else writes the same entry.
            Path(file.name).replace(self.directory / key)
            self._shrink()
        except OSError:
            return

    def _shrink(self) -> None:
        assert self.directory is not None
        entries = sorted((e.stat().st_mtime, e.stat().st_size, e.path) for e in os.scandir(self.directory))
        excess = sum(size for _, size, _ in entries) - _LIMIT
        for _, size, path in entries:
            if excess <= 0:
                break
            Path(path).unlink(missing_ok=True)
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
    if os.name == "posix":
        foreign = status.st_uid != os.geteuid()
        if foreign or stat.S_IMODE(status.st_mode) & 0o022:
            warnings.warn(
                f"compiled kernels are not kept: others could write to {directory}; "
                f"make it yours with chmod 700, or set LIFTGRAD_CACHE_DIR.",
                RuntimeWarning,
                stacklevel=2,
            )
            return False
        if stat.S_IMODE(status.st_mode) != 0o700:
            directory.chmod(0o700)
    return True
