"""Damaged records: a replica is reset, a log raises DamagedStore, and no other error comes out.

The damage is done through LMDB and SQLite themselves, and in the small files next to them: no page of a map
is damaged.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import lmdb
import msgpack
import pytest

from storage.codec.codec import Codec
from storage.errors import DamagedStore, NotAStore, OnewriterError, OutOfOrder, StorageError
from storage.log.event_log import EventLog
from storage.log.records import CommandRecord, RecordedEvent
from storage.replica.replica_reader import ReplicaReader
from storage.replica.replica_store import ReplicaStore
from tests.storage.log.follower_process import CODEC, MODEL, NUMBERS, Counted
from tests.storage.replica.replica_process import TABLES, TEXTS, TOTALS, apply

MODELS = (TABLES, TEXTS, TOTALS)
ROUNDS = 120


def opened(path: Path, head: int = 9) -> ReplicaStore:
    return ReplicaStore.open(path, MODELS, Codec(), history_id="h1", log_head=head, map_size=1 << 24)


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("replicas") / "replica"
    with opened(path) as store:
        for position in range(1, 10):
            apply(store, position)
    return path


@pytest.fixture
def copy(replica: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(replica, tmp_path / "copy"))


WHOLE = {
    "tables": {"rows": [{"id": n, "number": n, "half": n // 2} for n in range(1, 10)]},
    "texts": {"texts": [{"id": 1, "number": 9}]},
    "totals": {"sums": [{"value": {"number": 9}}]},
}


def healed(path: Path) -> str | None:
    """Why the replica was reset, in whole or in part; its contents must match its checkpoints."""
    with opened(path) as store:
        for model, checkpoint in store.checkpoints().items():
            assert checkpoint in (0, 9), model
            if checkpoint:
                assert store.dump(model) == WHOLE[model]
        for position in range(min(store.checkpoints().values()) + 1, 10):
            apply(store, position)
        assert {model: store.dump(model) for model in WHOLE} == WHOLE
        return store.reset_reason


def records(path: Path, database: bytes, change: Callable[[Any, Any, dict[bytes, bytes]], None]) -> None:
    """Change the records of one database, in a transaction."""
    with lmdb.open(str(path), max_dbs=99) as environment:
        handle = environment.open_db(database)
        with environment.begin(write=True) as transaction:
            change(transaction, handle, dict(transaction.cursor(handle).iternext()))


def put(beginning: bytes, value: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Replace the value of every record in `meta` whose key begins with `beginning`."""

    def change(transaction: Any, handle: Any, found: dict[bytes, bytes]) -> None:
        mine = {key: data for key, data in found.items() if key.startswith(beginning)}
        assert mine
        for key, data in mine.items():
            transaction.put(key, value(data), db=handle)

    return lambda path: records(path, b"meta", change)


def lost(beginning: bytes) -> Callable[[Path], None]:
    """Delete every record in `meta` whose key begins with `beginning`."""

    def change(transaction: Any, handle: Any, found: dict[bytes, bytes]) -> None:
        for key in found:
            if key.startswith(beginning):
                transaction.delete(key, db=handle)

    return lambda path: records(path, b"meta", change)


def without(*names: str) -> Callable[[bytes], bytes]:
    """A packed map without these names."""
    return lambda data: msgpack.packb({k: v for k, v in msgpack.unpackb(data).items() if k not in names})


def dropped(path: Path) -> None:
    with lmdb.open(str(path), max_dbs=99) as environment, environment.begin(write=True) as transaction:
        [rows] = [name for name, _ in transaction.cursor() if name.endswith(b"/rows")]
        transaction.drop(environment.open_db(rows, txn=transaction, create=False))


def sqlite(statement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        [file] = path.glob("engines/texts@*/model.sqlite")
        db = sqlite3.connect(file)
        try:
            db.execute(statement)
            db.commit()
        finally:
            db.close()

    return change


REPLICAS: dict[str, Callable[[Path], None]] = {
    "a build without its script": put(b"build/", without("script")),
    "a build without its tables": put(b"build/", without("tables")),
    "a build that is no text": put(b"build/", lambda data: b"\x81\xa4keys\xa2\xff\xfe"),
    "a build that is a number": put(b"build/", lambda data: b"\x07"),
    "a build cut short": put(b"build/", lambda data: data[:9]),
    "a build whose record is lost": lost(b"build/tables"),
    "all builds lost": lost(b"build/"),
    "an active build that is no text": put(b"active/", lambda data: b"\xff\xfe"),
    "a checkpoint of nine bytes": put(b"checkpoint/", lambda data: data + b"\0"),
    "an empty checkpoint": put(b"checkpoint/", lambda data: b""),
    "a checkpoint that is lost": lost(b"checkpoint/"),
    "a header that is no map": put(b"header", lambda data: b"\xc0"),
    "a header without a history": put(b"header", without("history_id")),
    "a header of no date": put(b"header", lambda data: data.replace(b"-", b"x")),
    "a header of no kind": put(b"header", lambda data: data.replace(b"replica", b"repli\xffa")),
    "no header": lost(b"header"),
    "nothing in meta": lost(b""),
    "rows that are lost": dropped,
    "a SQLite checkpoint that is no number": sqlite("UPDATE onewriter_checkpoint SET position = 'x'"),
    "a SQLite checkpoint that is lost": sqlite("DELETE FROM onewriter_checkpoint"),
    "two SQLite checkpoints": sqlite("INSERT INTO onewriter_checkpoint SELECT * FROM onewriter_checkpoint"),
    "a SQLite checkpoint of other columns": sqlite(
        "ALTER TABLE onewriter_checkpoint RENAME COLUMN changed TO change"
    ),
    "no table of SQLite checkpoints": sqlite("DROP TABLE onewriter_checkpoint"),
    "a SQLite table that is lost": sqlite("DROP TABLE texts"),
    "a SQLite column of another name": sqlite("ALTER TABLE texts RENAME COLUMN number TO numbar"),
}


@pytest.mark.parametrize("damage", REPLICAS.values(), ids=REPLICAS.keys())
def test_a_replica_with_damaged_records_is_begun_anew(copy: Path, damage: Callable[[Path], None]) -> None:
    damage(copy)
    assert healed(copy)
    assert healed(copy) is None


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in REPLICAS
        if not name.endswith(("lost", "two SQLite checkpoints")) and "meta" not in name
    ],
)
def test_who_reads_the_files_of_such_a_replica_meets_no_raw_error(copy: Path, name: str) -> None:
    REPLICAS[name](copy)
    with suppress(StorageError), ReplicaReader.open(copy, Codec(), MODELS, map_size=1 << 24) as reader:
        for model in ("tables", "texts"):
            with suppress(StorageError), reader.snapshot({model}) as snapshot:
                snapshot.checkpoint(model)


def raised(work: Callable[[Path], object], path: Path) -> OnewriterError | None:
    """The error of ours that `work` raises, if any."""
    try:
        work(path)
    except OnewriterError as error:
        return error
    return None


def garbled(chance: random.Random, data: bytes) -> bytes:
    """Some other bytes, most of them nearly the same as `data`."""
    changed = bytearray(data)
    how = chance.randrange(6)
    if how == 0 and data:
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif how == 1 and data:
        del changed[chance.randrange(len(data)) :]
    elif how == 2:
        changed += chance.randbytes(3)
    elif how == 3:
        changed[:] = chance.randbytes(chance.randrange(1, 20))
    elif how == 4 and data:
        changed[chance.randrange(len(data))] = chance.randrange(256)
    else:
        changed[:] = chance.choice(
            [b"", b"\xc0", b"\x80", b"\x90", b"\xa1x", b"\x93\x01\x02\x03", b"\xff" * 8]
        )
    return bytes(changed)


def harm(chance: random.Random, path: Path, database: bytes) -> None:
    """Change, delete or rename one record."""

    def change(transaction: Any, handle: Any, found: dict[bytes, bytes]) -> None:
        key, data = chance.choice(sorted(found.items()))
        how = chance.random()
        if how < 0.7:
            transaction.put(key, garbled(chance, data), db=handle)
            return
        transaction.delete(key, db=handle)
        other = garbled(chance, key)
        if how > 0.85 and 0 < len(other) < 500:
            transaction.put(other, data, db=handle)

    records(path, database, change)


def test_whatever_is_done_to_the_records_of_a_replica_it_opens_and_holds_what_it_should(
    replica: Path, tmp_path: Path
) -> None:
    for round_ in range(ROUNDS):
        chance = random.Random(round_)
        path = Path(shutil.copytree(replica, tmp_path / str(round_)))
        if chance.random() < 0.8:
            harm(chance, path, b"meta")
        else:
            file = chance.choice([path / "running", *path.glob("engines/totals@*/*")])
            file.write_bytes(garbled(chance, file.read_bytes()))
        error = raised(healed, path)
        # A newer version may have written such a format, and such a kind is a log's: it is not ours to
        # delete.
        assert error is None or "has format" in str(error) or isinstance(error, NotAStore), f"round {round_}"
        shutil.rmtree(path)


# -- the log -------------------------------------------------------------------------------------------------
def open_log(path: Path) -> EventLog:
    return EventLog.open(path, CODEC, inline=[MODEL], map_size=1 << 24)


def add(log: EventLog, position: int) -> None:
    version = log.stream_version("a") + 1
    event = RecordedEvent(
        position, "a", version, Counted(position), "Counted", 0, f"c-{position}", tags=("t",)
    )
    record = CommandRecord(f"c-{position}", position, 1, b"digest", "a", version)
    batch = log.inline_batch()
    assert batch is not None
    batch.table(NUMBERS).put({"id": position})
    log.append(
        [event], [record], [("a", version, "f", Counted(position))], notes=[(b"n", b"v")], inline=batch
    )
    batch.close()


@pytest.fixture(scope="module")
def log_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("logs") / "log"
    with open_log(path) as log:
        for position in range(1, 10):
            add(log, position)
    return path


def use(path: Path) -> list[Any]:
    """Open the log, read everything in every way, and write to it."""
    with open_log(path) as log:
        found: list[Any] = [
            log.read(),
            log.read_stream("a"),
            log.read_tag("t"),
            log.streams(),
            log.notes(b""),
        ]
        found += [log.command(f"c-{position}") for position in range(1, 10)]
        found += [log.snapshot("a"), log.stats(), log.inline_positions()]
        with suppress(OutOfOrder):
            add(log, log.head + 1)
        return found


@pytest.mark.parametrize(
    "database", [b"meta", b"events", b"streams", b"tags", b"commands", b"snapshots", b"notes", b"inline"]
)
def test_whatever_is_done_to_the_records_of_a_log_it_is_damaged_or_opens(
    log_path: Path, tmp_path: Path, database: bytes
) -> None:
    for round_ in range(ROUNDS // 6):
        path = Path(shutil.copytree(log_path, tmp_path / str(round_)))
        harm(random.Random(round_), path, database)
        error = raised(use, path)
        # A format of a newer version; an event whose class does not exist, or whose class refuses it.
        assert (
            error is None
            or isinstance(error, DamagedStore)
            or "has format" in str(error)
            or "holds a replica" in str(error)
            or database == b"events"
        ), f"round {round_}: {error!r}"
        shutil.rmtree(path)


LOGS: dict[str, tuple[bytes, Callable[[Any, Any, dict[bytes, bytes]], None], str]] = {
    "no header": (b"meta", lambda txn, db, _: txn.delete(b"header", db=db), "was a store, but its header"),
    "a header that is no map": (b"meta", lambda txn, db, _: txn.put(b"header", b"\xc0", db=db), "its header"),
    "a position of three bytes": (
        b"events",
        lambda txn, db, _: txn.put(b"\xff\xff\xff", b"", db=db),
        "no position|record",
    ),
    "an event that is lost": (
        b"events",
        lambda txn, db, _: txn.delete((4).to_bytes(8), db=db),
        "holds 8 events",
    ),
    "the last event lost": (
        b"events",
        lambda txn, db, _: txn.delete((9).to_bytes(8), db=db),
        "indexes know of later",
    ),
    "an indexed position of two bytes": (
        b"meta",
        lambda txn, db, _: txn.put(b"indexed", b"xx", db=db),
        "checksum is wrong",
    ),
}


@pytest.mark.parametrize(("database", "change", "told"), LOGS.values(), ids=LOGS.keys())
def test_a_damaged_log_is_called_damaged_and_nobody_elses(
    log_path: Path, tmp_path: Path, database: bytes, change: Any, told: str
) -> None:
    path = Path(shutil.copytree(log_path, tmp_path / "log"))
    records(path, database, change)
    with pytest.raises(DamagedStore, match=told):
        open_log(path)


@pytest.mark.parametrize("key", [b"position/numbers", b"model/numbers"])
@pytest.mark.parametrize("value", [None, b"", b"\xff\xfe", b"\x93\x01\x02\x03", b"\xff" * 8])
def test_inline_models_begin_anew_where_their_catalog_is_damaged(
    log_path: Path, tmp_path: Path, key: bytes, value: bytes | None
) -> None:
    path = Path(shutil.copytree(log_path, tmp_path / "log"))
    records(
        path,
        b"inline",
        lambda txn, db, _: txn.delete(key, db=db) if value is None else txn.put(key, value, db=db),
    )
    with open_log(path) as log:
        assert log.inline_positions() == {"numbers": 0}
        with log.inline_snapshot() as snapshot:
            assert len(snapshot.table("numbers", NUMBERS)) == 0
        add(log, 10)
