"""How full a file is: what is said agrees with LMDB, page by page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import pytest

from storage import DamagedStore
from storage.files.environment import open_environment
from storage.files.page_usage import FileUsage, file_usage


class Filled:
    """An environment with two databases, one of which has values that are larger than a page."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = open_environment(path, map_size=64 << 20)
        self.small, self.large = (self.environment.open_db(name) for name in (b"small", b"large"))
        with self.environment.begin(write=True) as transaction:
            for number in range(2000):
                transaction.put(b"%06d" % number, bytes(50), db=self.small)
            for number in range(50):
                transaction.put(b"%06d" % number, bytes(10_000), db=self.large)

    def delete(self, first: int, last: int) -> None:
        with self.environment.begin(write=True) as transaction:
            for number in range(first, last):
                transaction.delete(b"%06d" % number, db=self.small)

    @contextmanager
    def reading(self) -> Iterator[tuple[lmdb.Environment, int]]:
        with self.environment.begin() as transaction:
            yield self.environment, transaction.id()

    def usage(self) -> FileUsage:
        return file_usage(self.path, self.reading)


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Filled]:
    made = Filled(tmp_path)
    yield made
    made.environment.close()


def test_every_page_is_used_or_free_and_each_database_has_as_many_as_lmdb_says(filled: Filled) -> None:
    filled.delete(0, 1500)
    usage = filled.usage()
    assert usage.used_pages + usage.free_pages == usage.pages
    assert usage.pages == filled.environment.info()["last_pgno"] + 1
    assert usage.free_pages > 10
    assert usage.oldest_reader is None
    assert usage.map_bytes == 64 << 20
    assert usage.bytes == (filled.path / "data.mdb").stat().st_size
    with filled.environment.begin() as transaction:
        for name, database in (("small", filled.small), ("large", filled.large)):
            [found] = [one for one in usage.databases if one.name == name]
            stat = transaction.stat(database)
            assert found[1:] == tuple(
                stat[key] for key in ("entries", "depth", "branch_pages", "leaf_pages", "overflow_pages")
            )
    assert found.overflow_pages == 150


def test_the_oldest_reader_is_named_with_the_pages_that_are_kept_for_it(filled: Filled) -> None:
    with filled.environment.begin():
        filled.delete(0, 500)
        filled.delete(500, 1500)
        usage = filled.usage()
        assert usage.oldest_reader is not None
        process, behind, pinned = usage.oldest_reader
        assert (process, behind) == (os.getpid(), 2)
        assert 0 < pinned <= usage.free_pages
        pages = usage.pages
        filled.delete(1500, 1600)
        assert filled.usage().pages > pages  # nothing could be used again
    assert filled.usage().oldest_reader is None


def test_a_long_list_of_free_pages_is_counted(filled: Filled) -> None:
    # So long a list has pages of its own.
    with filled.environment.begin(write=True) as transaction:
        for number in range(800):
            transaction.put(b"%06d" % number, bytes(10_000), db=filled.large)
    with filled.environment.begin(write=True) as transaction:
        transaction.drop(filled.large, delete=False)
    usage = filled.usage()
    assert usage.free_pages > 2400
    assert usage.used_pages + usage.free_pages == usage.pages


def test_a_damaged_page_is_an_error_that_says_so(filled: Filled) -> None:
    filled.environment.sync(True)
    pages = filled.usage().pages
    with (filled.path / "data.mdb").open("r+b") as file:
        # All of the pages claim to have more entries than fit.
        for page in range(2, pages):
            file.seek(page * 4096 + 12)
            file.write(b"\xff\xff")
    with pytest.raises(DamagedStore, match=r"data\.mdb.*onewriter verify"):
        filled.usage()
