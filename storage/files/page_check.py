"""Checks LMDB's files without mapping them, as a damaged one could end the process. Any thread and process.

LMDB trusts its pages: it ends the process over some damaged ones, or reads beyond its data. `lmdb.verify`
checks all of a file in pure Python, at 10 to 30 MB a second. A larger file is checked for one second, from
the meta pages down: the roots of all databases, then the pages below them, level by level.
"""

from __future__ import annotations

import os
import struct
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from lmdb.verify import VerifyError, verify

__all__ = ["DEFAULT_VERIFY_BYTES", "find_problems", "find_first_problem", "find_all_problems"]

DEFAULT_VERIFY_BYTES = 32 << 20
"""Files of up to so many bytes are checked as a whole, which takes about one to three seconds."""

SECONDS = 1.0
"""How long the check of a larger file may take."""

_MAGIC = 0xBEEFC0DE
_HEAD = struct.Struct("=QHHHH")  # page number, pad, flags, lower and upper
_META = struct.Struct("=II")
_DB = struct.Struct("=IHHQQQQQ")  # pad, flags, depth, branch, leaf and overflow pages, entries, root
_META_AT, _DBS_AT, _LAST_AT = 16, 40, 136
_NODE = struct.Struct("=HHHH")  # the low and high half of a size or a page, flags, size of the key
_PAGE = struct.Struct("=Q")
_BRANCH, _LEAF, _OVERFLOW, _META_PAGE = 1, 2, 4, 8
_BIG, _SUB = 1, 2
_NONE = (1 << 64) - 1
_MAX_DEPTH = 32


def find_problems(file: Path, limit: int, *, clock: Callable[[], float] = time.monotonic) -> list[str]:
    """What is wrong with a file that nobody has open, as far as it is checked.

    A file of up to `limit` bytes is checked as a whole, a larger one from its top. With 0 nothing is checked.
    """
    if not limit:
        return []
    if file.stat().st_size <= limit:
        return find_all_problems(file)
    return find_first_problem(file, clock=clock)


def find_first_problem(file: Path, *, clock: Callable[[], float] = time.monotonic) -> list[str]:
    """The first problem in a file that nobody has open, searched from its top for a second."""
    try:
        with file.open("rb") as opened:
            return _Walk(opened.fileno(), clock() + SECONDS, clock).problems()
    except (struct.error, OverflowError, _Broken) as error:
        return [str(error)]


def find_all_problems(file: Path) -> list[str]:
    """All problems in a file that nobody has open: every page is read. Raises OSError."""
    try:
        return list(verify(os.fspath(file), subdir=False))  # type: ignore[no-untyped-call]
    except (VerifyError, struct.error) as error:
        return [str(error)]


class _Broken(Exception):
    pass


class _Walk:
    """One check of the newest state of a file."""

    def __init__(self, fd: int, end: float, clock: Callable[[], float]) -> None:
        self._fd = fd
        self._end = end
        self._clock = clock
        self._seen: set[int] = set()

    def problems(self) -> list[str]:
        """The first problem, if any."""
        first = self._meta(os.pread(self._fd, _LAST_AT + 16, 0), 0)
        self._size = first[0]
        metas = [first, self._meta(os.pread(self._fd, _LAST_AT + 16, self._size), 1)]
        if metas[1][0] != self._size:
            raise _Broken("its meta pages disagree on the size of a page")
        _, roots, last, _ = max(metas, key=lambda meta: meta[3])
        self._pages = last + 1
        # Only the list of free pages may have a branch with one child.
        waiting = deque(
            (root, depth, 1, min_children)
            for (root, depth), min_children in zip(roots, (1, 2), strict=True)
            if root != _NONE
        )
        number = 0
        while waiting:
            number += 1
            if not number % 64 and self._clock() > self._end:
                break
            self._page(*waiting.popleft(), waiting)
        return []

    def _meta(self, data: bytes, number: int) -> tuple[int, list[tuple[int, int]], int, int]:
        """The page size, the roots and depths, the last page, and the transaction."""
        page, _, flags, _, _ = _HEAD.unpack_from(data)
        magic, version = _META.unpack_from(data, _META_AT)
        if page != number or not flags & _META_PAGE or magic != _MAGIC or version != 1:
            raise _Broken(f"page {number} is not a meta page of LMDB 0.9")
        databases = [_DB.unpack_from(data, _DBS_AT + offset) for offset in (0, _DB.size)]
        size = databases[0][0]
        if size < 256 or size > 1 << 16 or size & (size - 1):
            raise _Broken(f"meta page {number} says that pages have {size} bytes")
        last, transaction = (_PAGE.unpack_from(data, _LAST_AT + offset)[0] for offset in (0, 8))
        return size, [(database[7], database[2]) for database in databases], last, transaction

    def _page(
        self,
        number: int,
        depth: int,
        level: int,
        min_children: int,
        waiting: deque[tuple[int, int, int, int]],
    ) -> None:
        size = self._size
        if (
            not 2 <= number < self._pages
            or number in self._seen
            or not 1 <= depth <= _MAX_DEPTH
            or level > depth
        ):
            raise _Broken(f"page {number} is referenced where it cannot be")
        self._seen.add(number)
        data = os.pread(self._fd, size, number * size)
        if len(data) < size:
            raise _Broken(f"page {number} is beyond the end of the file")
        own, _, flags, lower, upper = _HEAD.unpack_from(data)
        kind = _LEAF if level == depth else _BRANCH
        if own != number or flags != kind:
            raise _Broken(f"page {number} calls itself {own}, with flags {flags:#x} for {kind:#x}")
        if not (_HEAD.size <= lower <= upper <= size) or (
            kind == _BRANCH and lower < _HEAD.size + 2 * min_children
        ):
            raise _Broken(f"page {number} has no room for its nodes")
        for at in struct.unpack_from(f"={(lower - _HEAD.size) // 2}H", data, _HEAD.size):
            if not upper <= at <= size - _NODE.size:
                raise _Broken(f"page {number} has a node out of its bounds")
            low, high, node_flags, key = _NODE.unpack_from(data, at)
            value = at + _NODE.size + key
            if kind == _BRANCH:
                if value > size:
                    raise _Broken(f"page {number} has a key out of its bounds")
                waiting.append((low | high << 16 | node_flags << 32, depth, level + 1, min_children))
                continue
            length = low | high << 16
            if value + (_PAGE.size if node_flags & _BIG else length) > size:
                raise _Broken(f"page {number} has a value out of its bounds")
            if node_flags & _BIG:
                self._overflow(_PAGE.unpack_from(data, value)[0], length)
            elif node_flags & _SUB:
                if length != _DB.size:
                    raise _Broken(f"page {number} has a database record of {length} bytes")
                found = _DB.unpack_from(data, value)
                if found[7] != _NONE:
                    waiting.append((found[7], found[2], 1, 2))

    def _overflow(self, number: int, length: int) -> None:
        needed = (_HEAD.size - 1 + length) // self._size + 1
        head = os.pread(self._fd, _HEAD.size, number * self._size) if number < self._pages else b""
        if len(head) < _HEAD.size or number + needed > self._pages:
            raise _Broken(f"the pages of a long value, from {number} on, are beyond the end")
        own, _, flags, low, high = _HEAD.unpack(head)
        if own != number or flags != _OVERFLOW or low | high << 16 != needed:
            raise _Broken(f"page {number} does not begin a value of {length} bytes")
