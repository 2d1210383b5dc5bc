"""The layout of LMDB 0.9's pages, for code that reads a file without mapping it. Pure; any thread."""

from __future__ import annotations

import struct
from typing import NamedTuple

__all__ = [
    "BIG",
    "BRANCH",
    "DB",
    "HEAD",
    "LEAF",
    "META_BYTES",
    "META_PAGE",
    "NODE",
    "NONE",
    "OVERFLOW",
    "PAGE",
    "SUB",
    "BrokenPage",
    "Meta",
    "read_meta",
]

MAGIC = 0xBEEFC0DE
HEAD = struct.Struct("=QHHHH")  # page number, pad, flags, lower and upper
_META = struct.Struct("=IIQQ")  # magic, version, address, bytes of the map
DB = struct.Struct("=IHHQQQQQ")  # pad, flags, depth, branch, leaf and overflow pages, entries, root
_META_AT, _DBS_AT, _LAST_AT = 16, 40, 136
META_BYTES = _LAST_AT + 16
"""How much of a meta page is used."""
NODE = struct.Struct("=HHHH")  # the low and high half of a size or a page, flags, size of the key
PAGE = struct.Struct("=Q")
BRANCH, LEAF, OVERFLOW, META_PAGE = 1, 2, 4, 8
BIG, SUB = 1, 2
NONE = (1 << 64) - 1


class BrokenPage(Exception):
    """A page is not what LMDB writes; the text is the end of a sentence about its file."""


class Meta(NamedTuple):
    """A meta page: `free` and `main` are the records, as `DB` has them, of the two databases without names.

    The first of them has the lists of free pages, the second the records of the databases with names.
    """

    page_bytes: int
    free: tuple[int, ...]
    main: tuple[int, ...]
    last_page: int
    transaction: int
    map_bytes: int


def read_meta(data: bytes, number: int) -> Meta:
    """What the meta page of this number says. Raises BrokenPage, and struct.error for too few bytes."""
    page, _, flags, _, _ = HEAD.unpack_from(data)
    magic, version, _, map_bytes = _META.unpack_from(data, _META_AT)
    if page != number or not flags & META_PAGE or magic != MAGIC or version != 1:
        raise BrokenPage(f"page {number} is not a meta page of LMDB 0.9")
    free, main = (DB.unpack_from(data, _DBS_AT + offset) for offset in (0, DB.size))
    size = free[0]
    if size < 256 or size > 1 << 16 or size & (size - 1):
        raise BrokenPage(f"meta page {number} says that pages have {size} bytes")
    last, transaction = (PAGE.unpack_from(data, _LAST_AT + offset)[0] for offset in (0, 8))
    return Meta(size, free, main, last, transaction, map_bytes)
