"""Files that are written completely or not at all, and keep their owner and permissions.

Content goes to a nameless file first, where the system has them: a process that is killed leaves
nothing behind. The complete file then replaces the old one and takes over its owner and
permissions. A file with hard links, or whose owner cannot be kept, is overwritten in place once the
new content is on the disk beside it. Devices and pipes are written to directly.
"""

import contextlib
import errno
import hashlib
import io
import itertools
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

_UNNAMED = getattr(os, "O_TMPFILE", None)
"""The flag that opens a nameless file; None where the system has none."""
_DESCRIPTORS = Path("/proc/self/fd")
"""Where a nameless file can be given a name."""
_ATTEMPTS = 16
"""How often a file that others may be replacing is looked at."""
_WRITERS = 8
"""How many processes may write one file at a time with names that the next one cleans up."""


def write(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file; an existing one is left as it is until the new one is complete.

    Raises:
        OSError: if the file cannot be written.

    """
    with writing(path) as file:
        file.write(content)


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a file to write; it gets its name when the block ends, and vanishes if that fails.

    Raises:
        OSError: if the file cannot be written.

    """
    with _in_a_sentence(path):
        target = _target(path)
        if target is None:
            with _device(path) as file:
                yield file
            return
        with _beside(target) as (file, name):
            keeps = _like_the_old(file.fileno(), target)
            yield file
            # Otherwise a power failure might leave the new name without the content.
            file.flush()
            os.fsync(file.fileno())
            if keeps:
                name()
            else:
                _write_over(target, file)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise at once the error that `write` would raise after all the work.

    Raises:
        OSError: if the file cannot be written.

    """
    with _in_a_sentence(path):
        target = _target(path)
        if target is not None:
            with _beside(target):
                pass


def make_directory(path: str | os.PathLike[str]) -> None:
    """Make a directory and its parents, unless it exists.

    Raises:
        OSError: if it cannot be made.

    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(
            f"'{path}' cannot be made a directory ({error.strerror}); choose another place."
        ) from None


def identity(path: str | os.PathLike[str]) -> tuple[int, int] | str:
    """Return a key that is equal for all paths to one file, links included.

    >>> identity("a") == identity("./a") != identity("b")
    True
    """
    try:
        there = Path(path).stat()
    except OSError:
        return os.path.realpath(path)
    return there.st_dev, there.st_ino


@contextlib.contextmanager
def _in_a_sentence(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the system's errors into sentences that name the file."""
    try:
        yield
    except OSError as error:
        # Already a sentence, or about another file, which the block reads.
        if error.strerror is None or not _is_about(error, path):
            raise
        sentence = type(error)(
            f"'{path}' cannot be written ({error.strerror}); choose another place."
        )
        sentence.errno = error.errno
        raise sentence from None


def _is_about(error: OSError, path: str | os.PathLike[str]) -> bool:
    """Return whether an error is about the file, its directory or its temporary file."""
    if not isinstance(error.filename, str | bytes | os.PathLike):  # about a descriptor
        return True
    named, target = Path(os.fsdecode(error.filename)), Path(os.path.realpath(path))
    return named in (Path(path), target, target.parent) or _mark(target) in named.name


def _target(path: str | os.PathLike[str]) -> Path | None:
    """Return the file's path with symbolic links resolved; None for devices and pipes.

    Raises:
        OSError: if there cannot be such a file, or it is write-protected.

    """
    if not os.fspath(path):
        raise FileNotFoundError("'' names no file; write a name.")
    target = Path(os.path.realpath(path))
    try:
        there = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        there = None
    if (there is not None and stat.S_ISDIR(there.st_mode)) or os.fspath(path).endswith(os.sep):
        raise IsADirectoryError(f"'{path}' is a directory; name a file in it.")
    if there is None:
        if not target.parent.is_dir():
            raise FileNotFoundError(f"there is no directory '{target.parent}'; make it first.")
        return target
    if stat.S_ISBLK(there.st_mode) or stat.S_ISSOCK(there.st_mode):
        kind = "a disk" if stat.S_ISBLK(there.st_mode) else "a socket"
        raise OSError(f"'{path}' is {kind}; name a file.")
    # Not tried by opening it: closing a pipe would end it for its reader.
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
    # /dev/stdout may lead to a nameless file.
    return target if stat.S_ISREG(there.st_mode) and _is_named(target, path) else None


def _is_named(target: Path, path: str | os.PathLike[str]) -> bool:
    """Return whether a path leads to the file of this name.

    They are asked one after the other, and other writers may replace the file in between: that they
    differ is believed when they do so each time.
    """
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(FileNotFoundError):
            if target.samefile(path):
                return True
    return False


@contextlib.contextmanager
def _device(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a device or a pipe, opened for writing."""
    try:
        # Blocking, it would wait forever for a pipe's reader.
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise OSError(f"'{path}' is a pipe that nobody reads; start its reader first.") from None
    os.set_blocking(descriptor, True)
    with open(descriptor, "wb") as file:  # noqa: PTH123, it is a descriptor
        yield file


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[tuple[BinaryIO, Callable[[], None]]]:
    """Yield a new file in the target's directory, and a function that gives it the target's name.

    No temporary file remains in the end.
    """
    _remove_left(target)
    nameless = _without_a_name(target.parent)
    if nameless is None:
        with _named(target) as (file, place):
            yield file, place
    else:
        with nameless as file:
            yield file, lambda: _link(file, target)


def _between(target: Path) -> Iterator[Path]:
    """Yield temporary names for a file that will be the target; the first ones are fixed.

    Its writer locks such a file for as long as it lives, so that the next writer recognises files
    that were left behind.
    """
    mark = _mark(target)
    for number in range(_WRITERS):
        yield target.with_name(f".{mark}.{number}.part")
    while True:
        yield target.with_name(f".{mark}.{secrets.token_hex(8)}.part")


def _mark(target: Path) -> str:
    """Return the part that a target's temporary names have in common."""
    return hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]


def _remove_left(target: Path) -> None:
    """Remove files of processes that were killed while they wrote the target."""
    for left in itertools.islice(_between(target), _WRITERS):
        with contextlib.suppress(OSError), left.open("r+b") as file:
            # The name may belong to another file by now.
            if _lock(file) and os.path.samestat(left.lstat(), os.fstat(file.fileno())):
                left.unlink()


def _lock(file: BinaryIO) -> bool | None:
    """Lock a file until it is closed; return whether that worked, None if there are no locks."""
    try:
        import fcntl  # noqa: PLC0415, Windows has none

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


def _without_a_name(directory: Path) -> BinaryIO | None:
    """Return a new nameless file, if the directory's file system has them."""
    if _UNNAMED is None or not _DESCRIPTORS.is_dir():
        return None
    try:
        descriptor = os.open(directory, _UNNAMED | os.O_RDWR, 0o666)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            return None
        raise
    file = open(descriptor, "w+b")  # noqa: PTH123, SIM115, it is a descriptor
    _lock(file)
    return file


@contextlib.contextmanager
def _named(target: Path) -> Iterator[tuple[BinaryIO, Callable[[], None]]]:
    """Yield a new file with a temporary name, and a function that gives it the target's."""
    file, between = _opened(target)
    placed = False

    def place() -> None:
        nonlocal placed
        if os.name == "nt":
            file.close()  # Windows cannot rename an open file
        between.replace(target)
        placed = True

    with file:
        try:
            yield file, place
        finally:
            if not placed:
                between.unlink()


def _opened(target: Path) -> tuple[BinaryIO, Path]:
    """Return a new file and its temporary name."""
    names = _between(target)
    while True:
        between = next(names)
        with contextlib.suppress(FileExistsError):
            file = between.open("x+b")
            # Before it was locked, another writer may have removed it as a leftover.
            if _lock(file) is not False and os.fstat(file.fileno()).st_nlink:
                return file, between
            file.close()


def _link(file: BinaryIO, target: Path) -> None:
    """Give a nameless file the target's name."""
    # link() follows the descriptor's symbolic link only if it is given a directory.
    folder = os.open(target.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        for between in _between(target):
            try:
                os.link(_DESCRIPTORS / str(file.fileno()), between.name, dst_dir_fd=folder)
            except FileExistsError:
                continue
            except OSError:  # some file systems have nameless files but no links
                with _named(target) as (copy, place):
                    _like_the_old(copy.fileno(), target)
                    _copy(file, copy)
                    place()
                return
            try:
                between.replace(target)
            except OSError:
                between.unlink()
                raise
            return
    finally:
        os.close(folder)


def _like_the_old(descriptor: int, target: Path) -> bool:
    """Give a new file the target's owner and permissions; return whether it can replace it."""
    try:
        old = target.stat()
    except FileNotFoundError:
        return True
    if os.name != "posix":
        return True
    try:
        new = os.fstat(descriptor)
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            os.fchown(descriptor, old.st_uid, old.st_gid)
        for name in _attributes(target):
            os.setxattr(descriptor, name, os.getxattr(target, name))
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
    except OSError:
        return False
    # It has no name any more if somebody replaced it just now, and several if there are links.
    return old.st_nlink < 2


def _attributes(target: Path) -> list[str]:
    """Return the names of the file's extended attributes, such as access lists."""
    try:
        return os.listxattr(target)
    except (AttributeError, OSError):  # the system or the file system has none
        return []


def _write_over(target: Path, file: BinaryIO) -> None:
    """Overwrite the target in place with a file's content, once there is room on the disk."""
    with open(os.open(target, os.O_WRONLY), "wb") as old:  # noqa: PTH123, "wb" would truncate it
        before, size = os.fstat(old.fileno()).st_size, file.seek(0, io.SEEK_END)
        if size > before and hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(old.fileno(), before, size - before)
            except OSError:
                old.truncate(before)
                raise
        try:
            _copy(file, old)
        except KeyboardInterrupt:
            _copy(file, old)  # half of each would be worse than waiting
            raise


def _copy(file: BinaryIO, other: BinaryIO) -> None:
    """Copy a file's content to another, through to the disk."""
    file.seek(0)
    other.seek(0)
    shutil.copyfileobj(file, other)
    other.truncate()
    other.flush()
    os.fsync(other.fileno())
