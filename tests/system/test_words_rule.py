# ruff: noqa: RUF001
"""An index of words that was built by the rule from before is built anew by itself, and is searched by it
until then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unicodedata import unidata_version

import msgpack
import pytest

from actors import Domain, System, words
from storage import Codec
from storage.codec.keys import KEY_FORMAT
from storage.errors import InvalidKey
from storage.replica import catalog as replica_models
from storage.replica.builds import pack_build
from storage.replica.replica_store import ReplicaStore
from storage.tables.index import Words
from storage.tables.schema import ModelSchema, TableSchema
from storage.tables.words import split_words_before
from tests.forked import Forked

TITLES = ["İstanbul", "हिन्दी", "தமிழ்", "বাংলা", "שָׁלוֹם", "café", "don't", "oak desk"]


def library() -> tuple[Domain, type, Any, Any]:
    domain = Domain("library")

    @domain.event(state=None)
    class BookAdded:
        number: int
        title: str

    tables = []
    for name, inline in (("catalogue", False), ("ready", True)):
        model = domain.read_model(name, inline=inline)
        table = model.table("books", key="number", indexes=[words("title")])

        model.on(BookAdded)(putting_into(table))
        tables.append((model, table))
    return domain, BookAdded, *tables


def putting_into(table: TableSchema) -> Any:
    def on_added(event: Any, tables: Any) -> None:
        tables[table].put({"number": event.number, "title": event.title})

    return on_added


def found(system: System, model: Any, table: TableSchema, word: str, after: Any) -> list[int]:
    with system.view(model, after=after) as view:
        return [row["number"] for row in view[table].find(words("title"), word)]


def fingerprint_before(self: TableSchema) -> str:
    parts = [
        KEY_FORMAT,
        unidata_version,
        self.name,
        self.columns,
        sorted(index.name for index in self.indexes),
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


@pytest.fixture
def before() -> Iterator[pytest.MonkeyPatch]:
    """Everything written as the program before wrote it, until `undo`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Words, "values", lambda self, value: split_words_before(value) if value else ())
        patch.setattr(TableSchema, "fingerprint", fingerprint_before)

        def pack(build: Any, databases: Any) -> Any:
            fields = msgpack.unpackb(pack_build(build, databases))
            del fields["words"]
            return msgpack.packb(fields)

        patch.setattr(replica_models, "pack_build", pack)
        yield patch


def test_words_of_every_script_are_found(store_path: Path) -> None:
    domain, book, *models = library()
    with System.open(store_path, domain, replicas=1) as system:
        receipt = system.append("books", [book(n, title) for n, title in enumerate(TITLES)])
        for model, table in models:
            for number, title in enumerate(TITLES[:-1]):
                assert found(system, model, table, title, receipt) == [number]
            for typed in ("istanbul", "ISTANBUL", "ıstanbul"):
                assert found(system, model, table, typed, receipt) == [0]
            assert found(system, model, table, "i", receipt) == []


def test_an_index_of_the_rule_before_is_built_anew(store_path: Path, before: pytest.MonkeyPatch) -> None:
    domain, book, *models = library()
    with System.open(store_path, domain, replicas=2) as system:
        receipt = system.append("books", [book(n, title) for n, title in enumerate(TITLES)])
        for model, table in models:
            assert found(system, model, table, "i", receipt) == [0]
        system.wait_applied()
    before.undo()
    for _ in range(2):
        domain, _book, *models = library()
        with System.open(store_path, domain, replicas=2) as system:
            system.wait_rebuilt(models[0][0], timeout=20)
            for model, table in models:
                for number, title in enumerate(TITLES[:-1]):
                    assert found(system, model, table, title, receipt) == [number]
                assert found(system, model, table, "i", receipt) == []


CHILD = """
import sys
import threading

from actors import System
from actors.replication.backfill import Backfill
from tests.system.test_words_rule import library

fill = Backfill._fill
def small(self, runs, until):
    self._limit = 5
    stopped = fill(self, runs, until)
    print("slice", flush=True)
    sys.stdin.readline()
    return stopped
Backfill._fill = small
system = System.open(sys.argv[1], library()[0], replicas=1)
threading.Event().wait()
"""


@pytest.mark.kill
@pytest.mark.parametrize("slices", [1, 3])
def test_a_kill_in_the_middle_of_that_leaves_one_that_is_built_to_its_end(
    store_path: Path, before: pytest.MonkeyPatch, slices: int
) -> None:
    domain, book, *models = library()
    titles = TITLES * 3
    with System.open(store_path, domain, replicas=1) as system:
        for number, title in enumerate(titles):
            receipt = system.append("books", [book(number, title)])
        system.wait_applied()
    before.undo()
    with Forked("-c", CHILD, str(store_path), stdin=True) as child:
        assert child.stdin is not None
        try:
            for number in range(slices):
                if number:
                    child.stdin.write("\n")
                    child.stdin.flush()
                assert child.stdout.readline() == "slice\n"
        finally:
            child.kill()
    domain, _book, *models = library()
    with System.open(store_path, domain, replicas=1) as system:
        system.wait_rebuilt(models[0][0], timeout=20)
        for model, table in models:
            for title in TITLES[:-1]:
                assert found(system, model, table, title, receipt) == [
                    number for number, one in enumerate(titles) if one == title
                ]
            assert found(system, model, table, "i", receipt) == []


def test_until_then_it_is_searched_by_the_rule_that_filled_it(
    tmp_path: Path, before: pytest.MonkeyPatch
) -> None:
    table = TableSchema("books", "number", [words("title")])
    model = ModelSchema("catalogue", 1, (table,))

    def opened() -> ReplicaStore:
        return ReplicaStore.open(
            tmp_path / "replica", [model], Codec(), history_id="h", log_head=9, boot_id="b"
        )

    with opened() as store, store.write() as transaction:
        for number, title in enumerate(TITLES):
            transaction.tables("catalogue")[table].put({"number": number, "title": title})
        transaction.set_checkpoint("catalogue", 9)
    before.undo()
    for _ in range(2):  # the record of the build is written again at each opening
        with opened() as store:
            assert store.active("catalogue").schema is None
            assert store.wanted("catalogue").schema is model
            with store.snapshot() as snapshot:
                books = snapshot.table("catalogue", table)
                assert [row["number"] for row in books.find(words("title"), "OAK")] == [7]
                assert [row["number"] for row in books.find(words("title"), "don")] == [6]
                with pytest.raises(InvalidKey, match="not one word"):
                    books.find(words("title"), "don't")
