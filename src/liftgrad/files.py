"""Files that are written whole or not at all, and stay what they were in all else.

What is written lies in a file without a name, where the system has such, until it is complete: a
process that is killed leaves nothing behind. The complete file takes the old one's place with its
owner and its permissions. A file with other names (hard links), or whose owner cannot be kept, is
written over once the new content is on the disk beside it. Devices and pipes are written to.
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
"""How to open a file without a name; None where there is no such thing."""
_DESCRIPTORS = Path("/proc/self/fd")
"""Where a file without a name can be given one."""
_WRITERS = 8
"""So many may write one file at the same time and leave nothing that is not found."""


def write(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file; one that is there stays as it is until the new one is complete.

    Raises:
        OSError: if the file cannot be written.

    """
    with writing(path) as file:
        file.write(content)


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a file to write; it gets its name when the block ends, and is gone if that fails.

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
            # Else a machine that loses power may keep the new name without the content.
            file.flush()
            os.fsync(file.fileno())
            if keeps:
                name()
            else:
                _write_over(target, file)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise now what `write` would raise after all the work.

    Raises:
        OSError: if the file cannot be written.

    """
    with _in_a_sentence(path):
        target = _target(path)
        if target is not None:
            with _beside(target):
                pass


def make_directory(path: str | os.PathLike[str]) -> None:
    """Make a directory, and those that it is in, unless it is there.

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
    """Return what two paths of one file have in common, also where links lead to it.

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
    """Say which file it is that the system cannot write."""
    try:
        yield
    except OSError as error:
        # A sentence of ours, or about a file that is read meanwhile.
        if error.strerror is None or not _is_about(error, path):
            raise
        said = type(error)(f"'{path}' cannot be written ({error.strerror}); choose another place.")
        said.errno = error.errno
        raise said from None


def _is_about(error: OSError, path: str | os.PathLike[str]) -> bool:
    """Tell whether an error is about the file, its directory or one that is to take its place."""
    if not isinstance(error.filename, str | bytes | os.PathLike):  # of a descriptor
        return True
    named, target = Path(os.fsdecode(error.filename)), Path(os.path.realpath(path))
    return named in (Path(path), target, target.parent) or _mark(target) in named.name


def _target(path: str | os.PathLike[str]) -> Path | None:
    """Return where the file lies, symbolic links followed; None for devices and pipes.

    Raises:
        OSError: if there cannot be such a file, or it must not be written.

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
    # Asked and not tried: a pipe that is opened and closed has ended for its reader.
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
    # What /dev/stdout leads to may be a file without a name.
    named = stat.S_ISREG(there.st_mode) and target.exists() and target.samefile(path)
    return target if named else None


@contextlib.contextmanager
def _device(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a device or a pipe to write to as it is."""
    try:
        # Else a pipe that nobody reads would be waited for without an end.
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
    """Yield a new file in the target's directory, and what gives it the target's name.

    Nothing else remains in the end.
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
    """Yield names for a file that will be the target, the first of which are always the same.

    A file of such a name is locked for as long as its writer lives, so that the next one can tell
    what was left behind.
    """
    mark = _mark(target)
    for number in range(_WRITERS):
        yield target.with_name(f".{mark}.{number}.part")
    while True:
        yield target.with_name(f".{mark}.{secrets.token_hex(8)}.part")


def _mark(target: Path) -> str:
    """Return what the names in between for a target have in common."""
    return hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]


def _remove_left(target: Path) -> None:
    """Remove what processes left that were killed while they wrote the target."""
    for left in itertools.islice(_between(target), _WRITERS):
        with contextlib.suppress(OSError), left.open("r+b") as file:
            # The name may be another file's by now.
            if _lock(file) and os.path.samestat(left.lstat(), os.fstat(file.fileno())):
                left.unlink()


def _lock(file: BinaryIO) -> bool | None:
    """Lock a file for as long as it is open; tell whether it is, None: there are no locks here."""
    try:
        import fcntl  # noqa: PLC0415, Windows has none

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


def _without_a_name(directory: Path) -> BinaryIO | None:
    """Return a new file, if the directory's file system has files without names."""
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
    """Yield a new file of a name in between, and what gives it the target's."""
    file, between = _opened(target)
    placed = False

    def place() -> None:
        nonlocal placed
        if os.name == "nt":
            file.close()  # Windows renames no open file
        between.replace(target)
        placed = True

    with file:
        try:
            yield file, place
        finally:
            if not placed:
                between.unlink()


def _opened(target: Path) -> tuple[BinaryIO, Path]:
    """Return a new file and its name in between."""
    names = _between(target)
    while True:
        between = next(names)
        with contextlib.suppress(FileExistsError):
            file = between.open("x+b")
            # Before it is locked, another writer may take it for one that was left.
            if _lock(file) is not False and os.fstat(file.fileno()).st_nlink:
                return file, between
            file.close()


def _link(file: BinaryIO, target: Path) -> None:
    """Give a file without a name the target's."""
    # Only with a directory does link() follow what stands for the descriptor.
    folder = os.open(target.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        for between in _between(target):
            try:
                os.link(_DESCRIPTORS / str(file.fileno()), between.name, dst_dir_fd=folder)
            except FileExistsError:
                continue
            except OSError:  # some file systems have files without names and no links
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
    """Give a new file what the target has beside its content; tell whether it could be given."""
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
    return old.st_nlink == 1


def _attributes(target: Path) -> list[str]:
    """Return the names of the file's extended attributes, such as access lists."""
    try:
        return os.listxattr(target)
    except (AttributeError, OSError):  # not everywhere are there any
        return []


def _write_over(target: Path, file: BinaryIO) -> None:
    """Copy a file's content into another, for which there is room, so that it stays the same."""
    with open(os.open(target, os.O_WRONLY), "wb") as old:  # noqa: PTH123, "wb" would cut it off
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
            _copy(file, old)  # a half of each would be worse than to wait
            raise


def _copy(file: BinaryIO, other: BinaryIO) -> None:
    """Make another file's content that of a file, on the disk, too."""
    file.seek(0)
    other.seek(0)
    shutil.copyfileobj(file, other)
    other.truncate()
    other.flush()
    os.fsync(other.fileno())
