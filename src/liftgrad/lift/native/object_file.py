"""Object files: kernels that were compiled before, loaded without LLVM.

Loading LLVM takes 40 ms and 180 MB. Kernels are plain code with constants beside it, and a process
that needs no new ones needs no more than those: an ELF file for x86-64 is copied into memory and
its addresses are filled in. Any other kind of file is left to LLVM.

The format is described in the System V ABI, chapters 4 and 5 of its generic part, and relocations
in chapter 4 of its AMD64 supplement.
"""

import ctypes
import mmap
import struct
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

_MAGIC = b"\x7fELF\x02\x01\x01"  # 64 bits, little-endian, version 1
_RELOCATABLE, _X86_64 = 1, 62
_CODE, _SYMBOLS, _ADDENDS, _ZEROS = 1, 2, 4, 8
"""Kinds of sections: loaded as they are, symbols, relocations, and memory to be zeroed."""
_LOADED = 2
"""The flag of sections that are in memory while the code runs."""
_ADDRESS, _DISTANCE = 1, 24
"""Relocations: R_X86_64_64, S + A, and R_X86_64_PC64, S + A - P."""
_UNDEFINED = 0
_FROM_OUTSIDE = ("memcpy", "memmove", "memset")
"""Functions of the C library, to which LLVM turns loops that copy or clear."""
_READ_AND_RUN = 5


class _Section(NamedTuple):
    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


class ObjectFile:
    """An object file in memory."""

    def __init__(self, memory: mmap.mmap, symbols: Mapping[str, int]) -> None:
        self.memory, self._symbols = memory, symbols

    def address(self, name: str) -> int:
        """Return the address of a function."""
        return self._symbols[name]


def load(code: bytes) -> ObjectFile | None:
    """Return an object file in memory, ready to run, or None if only LLVM can load it.

    The contents are trusted: the caller has checked where they come from.
    """
    if not sys.platform.startswith("linux") or code[: len(_MAGIC)] != _MAGIC:
        return None
    kind, machine = struct.unpack_from("<HH", code, 16)
    if (kind, machine) != (_RELOCATABLE, _X86_64):
        return None
    sections = _sections(code)
    places, size = _places(sections)
    memory = mmap.mmap(-1, size + mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for i, place in places.items():
        section = sections[i]
        if section.kind == _CODE:
            memory[place : place + section.size] = code[
                section.offset : section.offset + section.size
            ]
    symbols = {
        i: _symbols(code, sections, section, places, base)
        for i, section in enumerate(sections)
        if section.kind == _SYMBOLS
    }
    for section in sections:
        if section.kind == _ADDENDS and section.info in places:
            addresses = [address for _, address in symbols[section.link]]
            if not _relocate(code, section, addresses, memory, places[section.info], base):
                return None
    if _libc().mprotect(ctypes.c_void_p(base), ctypes.c_size_t(len(memory)), _READ_AND_RUN):
        return None  # the system forbids code that is not from a file
    named = [pair for table in symbols.values() for pair in table]
    return ObjectFile(memory, {name: x for name, x in named if x is not None})


def _sections(code: bytes) -> list[_Section]:
    (table,) = struct.unpack_from("<Q", code, 40)
    each, count = struct.unpack_from("<HH", code, 58)
    return [
        _Section(*struct.unpack_from("<IIQQQQIIQQ", code, table + each * i)) for i in range(count)
    ]


def _places(sections: list[_Section]) -> tuple[dict[int, int], int]:
    """Return the offset in memory of each section that is loaded, and the size of all."""
    places: dict[int, int] = {}
    end = 0
    for i, section in enumerate(sections):
        if section.flags & _LOADED and section.kind in (_CODE, _ZEROS):
            alignment = max(section.alignment, 1)
            places[i] = -(-end // alignment) * alignment
            end = places[i] + section.size
    return places, end


def _symbols(
    code: bytes, sections: list[_Section], table: _Section, places: Mapping[int, int], base: int
) -> list[tuple[str, int | None]]:
    """Return the name of each symbol of a table, and its address if it has one."""
    texts = sections[table.link].offset
    result: list[tuple[str, int | None]] = []
    for start in range(table.offset, table.offset + table.size, 24):
        name, _, _, section, value, _ = struct.unpack_from("<IBBHQQ", code, start)
        text = code[texts + name : code.index(b"\0", texts + name)].decode()
        address = None
        if section == _UNDEFINED and text in _FROM_OUTSIDE:
            address = ctypes.cast(getattr(_libc(), text), ctypes.c_void_p).value
        elif section in places:
            address = base + places[section] + value
        result.append((text, address))
    return result


def _relocate(
    code: bytes,
    section: _Section,
    addresses: list[int | None],
    memory: mmap.mmap,
    place: int,
    base: int,
) -> bool:
    """Fill in a section's addresses; return whether all are of a known kind."""
    for start in range(section.offset, section.offset + section.size, 24):
        offset, info, addend = struct.unpack_from("<QQq", code, start)
        address, kind = addresses[info >> 32], info & 0xFFFFFFFF
        if address is None or kind not in (_ADDRESS, _DISTANCE):
            return False
        number = address + addend
        if kind == _DISTANCE:
            number -= base + place + offset
        struct.pack_into("<Q", memory, place + offset, number % 2**64)
    return True


@lru_cache
def _libc() -> Any:
    return ctypes.CDLL(None)
