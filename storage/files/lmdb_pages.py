"""The pages of LMDB 0.9, for code that reads a file without mapping it. Any thread."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
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
    "Node",
    "PageFile",
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


class Node(NamedTuple):
    """An entry of a leaf: its page, its key, its flags, the length of its value, where in the page it is.

    With the flag `BIG` there is the number of the page at which the value begins.
    """

    data: bytes
    key: bytes
    flags: int
    length: int
    at: int


class PageFile:
    """The pages of an open file, by its descriptor.

    What a read transaction sees is not overwritten while it is open. Raises BrokenPage and struct.error for
    what LMDB did not write.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.page_bytes = read_meta(os.pread(number, META_BYTES, 0), 0).page_bytes

    def meta_of(self, transaction: int) -> Meta | None:
        """The meta page of a transaction; None if it has been overwritten."""
        for number in (0, 1):
            meta = read_meta(os.pread(self.number, META_BYTES, number * self.page_bytes), number)
            if meta.transaction == transaction:
                return meta
        return None

    def page(self, number: int) -> bytes:
        """A page."""
        return os.pread(self.number, self.page_bytes, number * self.page_bytes)

    def below(self, page: bytes) -> list[int]:
        """The pages below a branch, in the order of their keys; none below a leaf."""
        found = []
        _, _, kind, lower, _ = HEAD.unpack_from(page)
        if kind & BRANCH:
            for at in struct.unpack_from(f"={(lower - HEAD.size) // 2}H", page, HEAD.size):
                low, high, flags, _ = NODE.unpack_from(page, at)
                found.append(low | high << 16 | flags << 32)
        return found

    def entries(self, leaf: bytes) -> Iterator[Node]:
        """The entries of a leaf, in order."""
        _, _, _, lower, _ = HEAD.unpack_from(leaf)
        for at in struct.unpack_from(f"={(lower - HEAD.size) // 2}H", leaf, HEAD.size):
            low, high, flags, length = NODE.unpack_from(leaf, at)
            at += NODE.size
            yield Node(leaf, leaf[at : at + length], flags, low | high << 16, at + length)

    def tree(self, root: int, last: int) -> Iterator[Node]:
        """All entries of a tree of which no page is beyond `last`, in order."""
        waiting = [root] if root != NONE else []
        number = 0
        while waiting:
            at = waiting.pop()
            number += 1
            if at > last or number > last:
                raise BrokenPage(f"page {at} is referenced where it cannot be")
            page = self.page(at)
            below = self.below(page)
            waiting += reversed(below)
            if not below:
                yield from self.entries(page)

    def value(self, node: Node) -> bytes:
        """The value of an entry."""
        if node.flags & BIG:
            [first] = PAGE.unpack_from(node.data, node.at)
            return os.pread(self.number, node.length, first * self.page_bytes + HEAD.size)
        return node.data[node.at : node.at + node.length]
