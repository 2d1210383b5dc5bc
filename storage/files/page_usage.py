"""How full the file of an LMDB environment is: its size, the pages of each database, what is free.

Any thread. The numbers stand in pages near the roots, so this takes no longer for a large file. The pages are
read without mapping them: of a damaged file it says something wrong, or BrokenPage, but it does not end the
process.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import lmdb

from storage.errors import DamagedStore, StorageError
from storage.files.damage import damaged_records
from storage.files.environment import DATA_FILE
from storage.files.error_translation import from_system
from storage.files.lmdb_pages import (
    BIG,
    BRANCH,
    DB,
    HEAD,
    META_BYTES,
    NODE,
    NONE,
    PAGE,
    SUB,
    BrokenPage,
    Meta,
    read_meta,
)

__all__ = ["DatabaseUsage", "FileUsage", "OldestReader", "file_usage"]

ATTEMPTS = 1000
"""How often it begins a transaction whose meta page is overwritten before it is read."""
READER = re.compile(r"^\s*(\d+)\s+\S+\s+(\d+)\s*$", re.MULTILINE)
"""A line in LMDB's list of readers: process, thread, transaction. One that reads nothing has `-` there."""
MAX_PAGES = 1 << 22
"""Of one tree, above which its pages must refer to each other in a circle."""


class DatabaseUsage(NamedTuple):
    """One database: the pages of its tree, and those of values that are larger than a page."""

    name: str
    entries: int
    depth: int
    branch_pages: int
    leaf_pages: int
    overflow_pages: int

    @property
    def pages(self) -> int:
        """All its pages."""
        return self.branch_pages + self.leaf_pages + self.overflow_pages


class OldestReader(NamedTuple):
    """The reader that has been reading for the longest: its process id, and how many commits it is behind.

    `pinned_pages` of the free pages are kept for it. LMDB does not know since when it reads.
    """

    process: int
    commits_behind: int
    pinned_pages: int


class FileUsage(NamedTuple):
    """One file. `bytes` is its length, `disk_bytes` what the disk gives it, `map_bytes` its limit.

    Of its `pages`, `used_pages` hold data, and `free_pages` are used for what is written next, once no reader
    needs them. `free_bytes` are those, which a compaction gives back.
    """

    file: str
    bytes: int
    disk_bytes: int
    map_bytes: int
    page_bytes: int
    pages: int
    used_pages: int
    free_pages: int
    oldest_reader: OldestReader | None
    databases: tuple[DatabaseUsage, ...]

    @property
    def free_bytes(self) -> int:
        """The bytes of the free pages."""
        return self.free_pages * self.page_bytes

    @property
    def used_bytes(self) -> int:
        """The bytes of the pages that hold data."""
        return self.used_pages * self.page_bytes


def file_usage(
    path: Path, reading: Callable[[], AbstractContextManager[tuple[lmdb.Environment, int]]]
) -> FileUsage:
    """How full the environment in the directory `path` is, by its last commit.

    `reading` gives it and the id of a read transaction, which ends with the block. Raises DamagedStore,
    StorageError and what `reading` does.
    """
    file = path / DATA_FILE
    try:
        with file.open("rb") as opened, damaged_records(str(file), "see what `onewriter verify` says"):
            pages = _Pages(opened.fileno())
            for _ in range(ATTEMPTS):
                with reading() as (environment, number):
                    readers = _readers(environment)
                    meta = pages.meta_of(number)
                    if meta is not None:
                        # While the transaction is open, nothing that it sees is overwritten.
                        # That of who writes, if this only reads.
                        readonly = environment.flags()["readonly"]
                        map_bytes = meta.map_bytes if readonly else environment.info()["map_size"]
                        return _usage(file, pages, meta, map_bytes, readers)
            raise StorageError(f"{file} changes so fast that its pages could not be counted; try again")
    except BrokenPage as error:
        raise DamagedStore(f"{file} is damaged: {error}; see what `onewriter verify` says") from error
    except OSError as error:
        raise from_system(error, f"{file} cannot be read", file) from error


def _readers(environment: lmdb.Environment) -> list[tuple[int, int]]:
    """Process and transaction of each reader that reads at this moment, this one included."""
    return [
        (int(process), int(transaction)) for process, transaction in READER.findall(environment.readers())
    ]


def _usage(
    file: Path, pages: _Pages, meta: Meta, map_bytes: int, readers: list[tuple[int, int]]
) -> FileUsage:
    state = os.fstat(pages.number)
    free = pages.free_pages(meta)
    lists = DatabaseUsage("", meta.free[6], *meta.free[2:6])
    databases = [DatabaseUsage("", meta.main[6], *meta.main[2:6]), *pages.databases(meta)]
    oldest = min(((at, process) for process, at in readers if at < meta.transaction), default=None)
    behind = None
    if oldest is not None:
        at, process = oldest
        # Of a commit's own free pages LMDB uses none again while it is the last one.
        pinned = sum(count for number, count in free if at <= number < meta.transaction)
        behind = OldestReader(process, meta.transaction - at, pinned)
    return FileUsage(
        str(file),
        state.st_size,
        state.st_blocks * 512,
        map_bytes,
        meta.page_bytes,
        meta.last_page + 1,
        2 + lists.pages + sum(one.pages for one in databases),
        sum(count for _, count in free),
        behind,
        tuple(one for one in databases if one.name),
    )


class _Pages:
    """The pages of one open file."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._size = read_meta(os.pread(number, META_BYTES, 0), 0).page_bytes

    def meta_of(self, transaction: int) -> Meta | None:
        """The meta page of a transaction; None if it has been overwritten."""
        for number in (0, 1):
            meta = read_meta(os.pread(self.number, META_BYTES, number * self._size), number)
            if meta.transaction == transaction:
                return meta
        return None

    def databases(self, meta: Meta) -> Iterator[DatabaseUsage]:
        """The databases with names, in their order."""
        for data, key, flags, length, at in self._nodes(meta.main[7], meta.last_page):
            if flags & SUB and length == DB.size:
                _, _, depth, branch, leaf, overflow, entries, _ = DB.unpack_from(data, at)
                yield DatabaseUsage(key.decode(errors="replace"), entries, depth, branch, leaf, overflow)

    def free_pages(self, meta: Meta) -> list[tuple[int, int]]:
        """Each transaction that freed pages, and how many of those are free."""
        found = []
        for data, key, flags, _, at in self._nodes(meta.free[7], meta.last_page):
            if flags & BIG:
                [page] = PAGE.unpack_from(data, at)
                data, at = os.pread(self.number, HEAD.size + PAGE.size, page * self._size), HEAD.size
            # A list begins with its length.
            found.append((PAGE.unpack(key)[0], PAGE.unpack_from(data, at)[0]))
        return found

    def _nodes(self, root: int, last: int) -> Iterator[tuple[bytes, bytes, int, int, int]]:
        """The entries of a tree, in order: page, key, flags, length of the value, where in the page it is."""
        waiting = [root] if root != NONE else []
        number = 0
        while waiting:
            page = waiting.pop()
            number += 1
            if page > last or number > MAX_PAGES:
                raise BrokenPage(f"page {page} is referenced where it cannot be")
            data = os.pread(self.number, self._size, page * self._size)
            _, _, kind, lower, _ = HEAD.unpack_from(data)
            below = []
            for at in struct.unpack_from(f"={(lower - HEAD.size) // 2}H", data, HEAD.size):
                low, high, flags, length = NODE.unpack_from(data, at)
                if kind & BRANCH:
                    below.append(low | high << 16 | flags << 32)
                else:
                    at += NODE.size
                    yield data, data[at : at + length], flags, low | high << 16, at + length
            waiting += reversed(below)
