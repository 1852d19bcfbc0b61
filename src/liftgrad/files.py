"""Files that are written whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


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
    target = Path(os.path.realpath(path))
    with _beside(target) as temporary:
        with temporary.open("wb") as file:
            yield file
            # Else a machine that loses power may keep the new name without the content.
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise now what `write` would raise after all the work.

    Raises:
        OSError: if the file cannot be written.

    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"'{path}' is a directory; name a file in it.")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no directory '{target.parent}'; make it first.")
    try:
        if target.exists():
            target.open("ab").close()
        with _beside(target) as temporary:
            temporary.touch()
    except OSError as error:
        raise OSError(
            f"'{path}' cannot be written ({error.strerror}); choose another place."
        ) from None


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Yield a new name in the target's directory, at which nothing remains in the end."""
    temporary = target.with_name(f".{secrets.token_hex(8)}{target.suffix}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
