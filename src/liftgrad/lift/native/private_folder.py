"""Private folder: files whose contents are executed, so that only the user may have written them.

A folder is opened, checked, and used by its descriptor, so that it does not matter what its path
leads to a moment later. For the same reason each file is opened first, and checked then.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_POSIX = os.name == "posix"
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class ForeignError(OSError):
    """A folder that others could write to; the message is the rest of a sentence about it."""


class Folder:
    """An open folder; `of` opens it."""

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path, self.descriptor = path, descriptor

    @classmethod
    @contextmanager
    def of(cls, path: Path) -> Iterator["Folder"]:
        """Yield the folder at a path, open until the block ends.

        Raises:
            ForeignError: if it is not the user's own and closed to others, or a symbolic link.
            OSError: if it cannot be opened.

        """
        if not _POSIX:  # profiles are private there, and folders have no descriptors
            yield cls(path, None)
            return
        if path.is_symlink():
            raise ForeignError("is a symbolic link")
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags)
        try:
            status = os.fstat(descriptor)
            if status.st_uid != os.geteuid():
                raise ForeignError("belongs to another user")
            if status.st_mode & _OTHERS_MAY_WRITE:
                raise ForeignError("is open to others, who may have put something there")
            yield cls(path, descriptor)
        finally:
            os.close(descriptor)

    def read(self, name: str, most: int) -> bytes | None:
        """Return a file's contents; None: it is not only the user's, or has more than `most` bytes.

        Raises:
            OSError: if it cannot be read.

        """
        # A name may stand for a link, or for a pipe, at which opening would wait.
        flags = os.O_RDONLY
        if _POSIX:
            flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(self._open(name, flags), "rb") as file:  # noqa: PTH123, a descriptor
            status = os.fstat(file.fileno())
            if status.st_size > most or not _is_own(status):
                return None
            return file.read()

    def write(self, name: str, unfinished: str, contents: bytes) -> None:
        """Write a file whole or not at all, under another name until it is complete.

        Raises:
            OSError: if it cannot be written.

        """
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with open(self._open(unfinished, flags), "wb") as file:  # noqa: PTH123, a descriptor
                file.write(contents)
            folder = self.descriptor
            os.replace(self._at(unfinished), self._at(name), src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                self.delete(unfinished)
            raise

    def touch(self, name: str) -> None:
        """Set the time at which a file was last used to now."""
        os.utime(self._at(name), dir_fd=self.descriptor)

    def delete(self, name: str) -> None:
        """Delete a file."""
        os.unlink(self._at(name), dir_fd=self.descriptor)

    def names(self) -> list[str]:
        """Return the names of all entries."""
        return os.listdir(self.path if self.descriptor is None else self.descriptor)  # noqa: PTH208

    def status(self, name: str) -> os.stat_result:
        """Return the status of a file itself, also if it is a symbolic link."""
        return os.stat(self._at(name), dir_fd=self.descriptor, follow_symlinks=False)

    def _at(self, name: str) -> str:
        return str(self.path / name) if self.descriptor is None else name

    def _open(self, name: str, flags: int) -> int:
        flags |= getattr(os, "O_BINARY", 0)
        return os.open(self._at(name), flags, 0o600, dir_fd=self.descriptor)


def make(path: Path) -> None:
    """Make a folder that only the user may enter, and those above it, where there are none.

    Raises:
        OSError: if that cannot be done.

    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)


def _is_own(status: os.stat_result) -> bool:
    """Whether the user made the file and nobody else can have written it."""
    if not stat.S_ISREG(status.st_mode):
        return False
    # By a hard link, a stranger could give a name here to a file that the user downloaded.
    return not _POSIX or (
        status.st_uid == os.geteuid()
        and not status.st_mode & _OTHERS_MAY_WRITE
        and status.st_nlink < 2  # 0 once another process has replaced it
    )
