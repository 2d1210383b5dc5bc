"""How full the file of an LMDB environment is: its size, the pages of each database, what is free.

Any thread. The numbers stand in pages near the roots, so this takes no longer for a large file. The pages are
read without mapping them: of a damaged file it says something wrong, or BrokenPage, but it does not end the
process.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import lmdb

from storage.errors import DamagedStore, StorageError
from storage.files.damage import damaged_records
from storage.files.environment import DATA_FILE
from storage.files.error_translation import from_system
from storage.files.lmdb_pages import DB, PAGE, SUB, BrokenPage, Meta, PageFile

__all__ = ["DatabaseUsage", "FileUsage", "OldestReader", "file_usage"]

ATTEMPTS = 1000
"""How often it begins a transaction whose meta page is overwritten before it is read."""
READER = re.compile(r"^\s*(\d+)\s+\S+\s+(\d+)\s*$", re.MULTILINE)
"""A line in LMDB's list of readers: process, thread, transaction. One that reads nothing has `-` there."""


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
            pages = PageFile(opened.fileno())
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
    file: Path, pages: PageFile, meta: Meta, map_bytes: int, readers: list[tuple[int, int]]
) -> FileUsage:
    state = os.fstat(pages.number)
    free = _free_pages(pages, meta)
    lists = DatabaseUsage("", meta.free[6], *meta.free[2:6])
    databases = [DatabaseUsage("", meta.main[6], *meta.main[2:6]), *_databases(pages, meta)]
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


def _databases(pages: PageFile, meta: Meta) -> Iterator[DatabaseUsage]:
    """The databases with names, in their order."""
    for node in pages.tree(meta.main[7], meta.last_page):
        if node.flags & SUB and node.length == DB.size:
            _, _, depth, branch, leaf, overflow, entries, _ = DB.unpack_from(node.data, node.at)
            yield DatabaseUsage(node.key.decode(errors="replace"), entries, depth, branch, leaf, overflow)


def _free_pages(pages: PageFile, meta: Meta) -> list[tuple[int, int]]:
    """Each transaction that freed pages, and how many of those are free."""
    found = []
    for node in pages.tree(meta.free[7], meta.last_page):
        # A list begins with its length.
        start = pages.value(node._replace(length=PAGE.size))
        found.append((PAGE.unpack(node.key)[0], PAGE.unpack(start)[0]))
    return found
