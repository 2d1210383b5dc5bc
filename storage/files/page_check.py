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

from storage.files.lmdb_pages import (
    BIG,
    BRANCH,
    DB,
    HEAD,
    LEAF,
    META_BYTES,
    NODE,
    NONE,
    OVERFLOW,
    PAGE,
    SUB,
    BrokenPage,
    read_meta,
)

__all__ = ["DEFAULT_VERIFY_BYTES", "find_problems", "find_first_problem", "find_all_problems"]

DEFAULT_VERIFY_BYTES = 32 << 20
"""Files of up to so many bytes are checked as a whole, which takes about one to three seconds."""

SECONDS = 1.0
"""How long the check of a larger file may take."""

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
    except (struct.error, OverflowError, BrokenPage) as error:
        return [str(error)]


def find_all_problems(file: Path) -> list[str]:
    """All problems in a file that nobody has open: every page is read. Raises OSError."""
    try:
        return list(verify(os.fspath(file), subdir=False))  # type: ignore[no-untyped-call]
    except (VerifyError, struct.error) as error:
        return [str(error)]


class _Walk:
    """One check of the newest state of a file."""

    def __init__(self, fd: int, end: float, clock: Callable[[], float]) -> None:
        self._fd = fd
        self._end = end
        self._clock = clock
        self._seen: set[int] = set()

    def problems(self) -> list[str]:
        """The first problem, if any."""
        first = read_meta(os.pread(self._fd, META_BYTES, 0), 0)
        self._size = first.page_bytes
        metas = [first, read_meta(os.pread(self._fd, META_BYTES, self._size), 1)]
        if metas[1].page_bytes != self._size:
            raise BrokenPage("its meta pages disagree on the size of a page")
        newest = max(metas, key=lambda meta: meta.transaction)
        self._pages = newest.last_page + 1
        roots = [(database[7], database[2]) for database in (newest.free, newest.main)]
        # Only the list of free pages may have a branch with one child.
        waiting = deque(
            (root, depth, 1, min_children)
            for (root, depth), min_children in zip(roots, (1, 2), strict=True)
            if root != NONE
        )
        number = 0
        while waiting:
            number += 1
            if not number % 64 and self._clock() > self._end:
                break
            self._page(*waiting.popleft(), waiting)
        return []

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
            raise BrokenPage(f"page {number} is referenced where it cannot be")
        self._seen.add(number)
        data = os.pread(self._fd, size, number * size)
        if len(data) < size:
            raise BrokenPage(f"page {number} is beyond the end of the file")
        own, _, flags, lower, upper = HEAD.unpack_from(data)
        kind = LEAF if level == depth else BRANCH
        if own != number or flags != kind:
            raise BrokenPage(f"page {number} calls itself {own}, with flags {flags:#x} for {kind:#x}")
        if not (HEAD.size <= lower <= upper <= size) or (
            kind == BRANCH and lower < HEAD.size + 2 * min_children
        ):
            raise BrokenPage(f"page {number} has no room for its nodes")
        for at in struct.unpack_from(f"={(lower - HEAD.size) // 2}H", data, HEAD.size):
            if not upper <= at <= size - NODE.size:
                raise BrokenPage(f"page {number} has a node out of its bounds")
            low, high, node_flags, key = NODE.unpack_from(data, at)
            value = at + NODE.size + key
            if kind == BRANCH:
                if value > size:
                    raise BrokenPage(f"page {number} has a key out of its bounds")
                waiting.append((low | high << 16 | node_flags << 32, depth, level + 1, min_children))
                continue
            length = low | high << 16
            if value + (PAGE.size if node_flags & BIG else length) > size:
                raise BrokenPage(f"page {number} has a value out of its bounds")
            if node_flags & BIG:
                self._overflow(PAGE.unpack_from(data, value)[0], length)
            elif node_flags & SUB:
                if length != DB.size:
                    raise BrokenPage(f"page {number} has a database record of {length} bytes")
                found = DB.unpack_from(data, value)
                if found[7] != NONE:
                    waiting.append((found[7], found[2], 1, 2))

    def _overflow(self, number: int, length: int) -> None:
        needed = (HEAD.size - 1 + length) // self._size + 1
        head = os.pread(self._fd, HEAD.size, number * self._size) if number < self._pages else b""
        if len(head) < HEAD.size or number + needed > self._pages:
            raise BrokenPage(f"the pages of a long value, from {number} on, are beyond the end")
        own, _, flags, low, high = HEAD.unpack(head)
        if own != number or flags != OVERFLOW or low | high << 16 != needed:
            raise BrokenPage(f"page {number} does not begin a value of {length} bytes")
