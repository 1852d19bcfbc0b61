"""Sealed files: arrays and JSON in a safetensors file, with a digest that reveals damage.

The metadata has the JSON entry and the SHA-256 of its text and of all arrays with their names,
types and shapes. No other bytes of the file affect what is read.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_DIGEST = "liftgrad.digest"


@dataclass(frozen=True)
class Kind:
    """A kind of sealed file."""

    entry: str
    """The key of its JSON in the metadata."""
    name: str
    """What messages call such a file."""
    writer: str
    """What writes it."""
    version: int
    """The newest version that is known."""


def seal(kind: Kind, arrays: Mapping[str, Array], entry: Mapping[str, Any]) -> bytes:
    """Return the bytes of a file; equal contents give equal bytes.

    Args:
        kind: of the file.
        arrays: by name.
        entry: the rest of its contents, with its "version"; JSON's types and NumPy's numbers.

    Raises:
        TypeError: if the entry contains anything else.

    """
    from safetensors.numpy import save  # noqa: PLC0415, imported at use

    text = json.dumps(entry, default=_plain)
    whole = {name: np.ascontiguousarray(x) for name, x in arrays.items()}
    file = save(whole, {kind.entry: text})
    # Of two keys in the metadata, safetensors writes now one first and now the other.
    length = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + length])
    header["__metadata__"][_DIGEST] = _digest(whole, text)
    line = json.dumps(header, separators=(",", ":")).encode()
    line += b" " * (-len(line) % 8)  # arrays begin at multiples of 8
    return len(line).to_bytes(8, "little") + line + file[8 + length :]


def unseal(kind: Kind, path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return a file's arrays and entry.

    The caller has to check them: anyone can make a file with the right digest, and files from
    before there were digests have none.

    Raises:
        ValueError: in one sentence, if the file is truncated, damaged, of another kind or of a
            newer version.
        OSError: if it cannot be read.

    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no {kind.name} '{path}'; check the name.")
    if not os.access(path, os.R_OK):  # safetensors would call it missing
        raise PermissionError(f"'{path}' cannot be read; change its permissions.")
    arrays, metadata = _parts(kind, path)
    text = metadata.get(kind.entry)
    if text is None:
        raise ValueError(
            f"'{path}' is a safetensors file that no liftgrad {kind.writer} wrote; choose another "
            f"{kind.name}, or load it with safetensors itself."
        )
    try:
        entry = json.loads(text)
        version = entry["version"]
        if type(version) is not int or version < 1:
            raise TypeError  # noqa: TRY301, one sentence for all of it
    except (KeyError, TypeError, ValueError, RecursionError):
        raise damaged(kind, path, "its entry is not what liftgrad writes") from None
    if version > kind.version:
        raise ValueError(
            f"'{path}' was written by a newer liftgrad ({kind.name} version "
            f"{shown(version, 20)}, known is {kind.version}); update liftgrad."
        )
    # An older file's metadata has only the entry; another key may be a damaged digest's.
    older = len(metadata) == 1
    if not older and metadata.get(_DIGEST) != _digest(arrays, text):
        raise damaged(kind, path, "its digest is not that of its contents")
    return arrays, entry


def damaged(kind: Kind, path: str | os.PathLike[str], why: object) -> ValueError:
    """Return the refusal of a damaged file."""
    return ValueError(f"'{path}' is a damaged {kind.name} ({shown(why, 200)}); choose another one.")


def shown(x: object, letters: int) -> str:
    """Return text from a file on one line, cut to a number of letters."""
    text = str(x)
    text = text if text.isprintable() else text.encode("unicode_escape").decode()
    return text if len(text) <= letters else f"{text[:letters]}..."


def _parts(kind: Kind, path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415, imported at use

    try:
        with safe_open(path, "numpy") as file:
            # Copies: the file may be replaced, and training changes its arrays.
            arrays = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
            return arrays, file.metadata() or {}
    except (SafetensorError, ValueError, TypeError, AttributeError):
        raise ValueError(
            f"'{path}' is not a safetensors file, or is truncated; choose another {kind.name}."
        ) from None


def _digest(arrays: Mapping[str, Array], text: str) -> str:
    described = [[name, arrays[name].dtype.str, arrays[name].shape] for name in sorted(arrays)]
    digest = hashlib.sha256(json.dumps([text, described]).encode())
    for name in sorted(arrays):
        digest.update(arrays[name].reshape(-1).data)
    return digest.hexdigest()


def _plain(x: Any) -> Any:
    """Return a NumPy number as a Python number."""
    number = x.item() if isinstance(x, np.generic) else None
    if not isinstance(number, bool | int | float):
        raise TypeError(
            f"a file cannot hold {x!r:.40}, a {type(x).__name__}; pass a number, a text or a list."
        )
    return number
