"""A damaged record is never served: what needs it raises an error that names it; everything else goes on."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest

from actors import ModelStopped, System
from storage.errors import DamagedStore
from storage.log.event_log import EventLog
from tests.fixtures.bank_store import OWNERS, BalanceOf, Deposit, bank
from tests.helpers import wait_until
from tests.storage.log.test_verification import CODEC, HEAD, STORES, change, delete, flip, key, put

Look = Callable[[EventLog], Any]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STORES / "format3", tmp_path / "store"))


def moved(old: bytes, new: bytes) -> Callable[[Any, Any], None]:
    """Change a key, as a changed byte does whose order among the keys stays."""

    def of(transaction: Any, handle: Any) -> None:
        value = transaction.pop(old, db=handle)
        assert value is not None
        transaction.put(new, value, db=handle)

    return of


READS: dict[str, tuple[str, Callable[[Any, Any], Any], Look, str]] = {
    "an event": ("events", flip(key(9)), lambda log: log.read(8), "event at position 9"),
    "an event in its stream": (
        "events",
        flip(key(9)),
        lambda log: log.read_stream("account-cleo"),
        "event at position 9",
    ),
    "an event with a tag": ("events", flip(key(9)), lambda log: log.read_tag("money"), "event at position 9"),
    "an event whose command is read": (
        "events",
        flip(key(9)),
        lambda log: log.read_commands(8, 10, HEAD),
        "event at position 9",
    ),
    "a command": (
        "commands",
        flip(b"nothing-2"),
        lambda log: log.command("nothing-2"),
        "command 'nothing-2'",
    ),
    "a command whose key changed": (
        "commands",
        moved(b"nothing-2", b"nothing-22"),
        lambda log: log.command("nothing-2"),
        "command 'nothing-22'",
    ),
    "a command whose key is less now": (
        "commands",
        moved(b"nothing-2", b"nothing-1z"),
        lambda log: log.command("nothing-2"),
        "command 'nothing-1z'",
    ),
    "a note": (
        "notes",
        flip(b"sub/letters/state"),
        lambda log: log.note(b"sub/letters/state"),
        "note 'sub/letters/state'",
    ),
    "a note among others": ("notes", flip(b"sub/letters/state"), lambda log: log.notes(b"sub/"), "note"),
    "a note whose key changed": (
        "notes",
        moved(b"sub/letters/state", b"sub/lettert/state"),
        lambda log: log.note(b"sub/letters/state"),
        "note 'sub/lettert/state'",
    ),
    "notes without one whose key changed": (
        "notes",
        moved(b"sub/letters/state", b"sua/letters/state"),
        lambda log: log.notes(b"sub/"),
        "note 'sua/letters/state'",
    ),
    "an entry of a stream": (
        "streams",
        put(b"account-bob\0" + key(3), key(7)),
        lambda log: log.read_stream("account-bob"),
        "index of stream 'account-bob' .* has version 3 of 'account-ann', at position 7",
    ),
    "a gap in a stream": (
        "streams",
        moved(b"account-bob\0" + key(3), b"account-bob\0" + key(99)),
        lambda log: log.read_stream("account-bob"),
        "has version 4 of 'account-bob', at position 11, where version 3",
    ),
    "the last version of a stream, in another one's": (
        "streams",
        moved(b"account-bob\0" + key(10), b"account-bon\0" + key(10)),
        lambda log: log.read_stream("account-bob"),
        "index of streams .* damaged at 'account-bon'",
    ),
    "the version of a stream": (
        "streams",
        moved(b"account-bob\0" + key(10), b"account-boc\0" + key(10)),
        lambda log: log.stream_version("account-bob"),
        "index of streams .* damaged at 'account-boc'",
    ),
    "the last event of a tag": (
        "tags",
        moved(b"owner-bob\0" + key(29), b"owner-boc\0" + key(29)),
        lambda log: log.read_tag("owner-bob"),
        "index of tags .* damaged at 'owner-boc'",
    ),
    "the first event of a tag": (
        "tags",
        moved(b"owner-bob\0" + key(2), b"owner-boa\0" + key(2)),
        lambda log: log.read_tag("owner-bob"),
        "index of tags .* damaged at 'owner-boa'",
    ),
    "an event with another tag": (
        "tags",
        moved(b"owner-bob\0" + key(5), b"owner-bob\0" + key(4)),
        lambda log: log.read_tag("owner-bob"),
        "index of tags .* damaged at 'owner-bob'",
    ),
}


@pytest.mark.parametrize(("database", "how", "look", "told"), READS.values(), ids=READS.keys())
def test_what_needs_a_damaged_record_is_told_which_one_it_is(
    store: Path, database: str, how: Any, look: Look, told: str
) -> None:
    with EventLog.open(store, CODEC) as log:
        look(log)
    change(store, database, how)
    with EventLog.open(store, CODEC) as log, pytest.raises(DamagedStore, match=told):
        look(log)


def test_what_comes_before_a_damaged_event_is_read(store: Path) -> None:
    change(store, "events", flip(key(9)))
    with EventLog.open(store, CODEC) as log:
        assert [one.position for one in log.read()] == list(range(1, 9))
        assert [one.position for one in log.read_commands(0, 100, HEAD)] == list(range(1, 8))
        assert [one.position for one in log.read(9)] == list(range(10, HEAD + 1))
        assert log.digest(9) == b""


def test_a_filter_passes_over_no_damaged_event(store: Path) -> None:
    change(store, "events", flip(key(9)))
    with EventLog.open(store, CODEC) as log:
        for wanted in (log.record_filter(["Nothing"]), log.record_filter(category="nothing"), None):
            found, through = log.scan(wanted, 0, 100, HEAD)
            assert (through, [position for position, _ in found]) == (8, [] if wanted else list(range(1, 9)))
            with pytest.raises(DamagedStore, match="event at position 9"):
                log.scan(wanted, 8, 100, HEAD)
            assert log.scan(wanted, 9, 100, HEAD)[1] == HEAD


def test_a_damaged_snapshot_is_ignored_with_a_warning(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    with EventLog.open(store, CODEC) as log:
        assert log.snapshot("account-bob") is not None
    change(store, "snapshots", flip(b"account-bob"))
    with EventLog.open(store, CODEC) as log:
        assert log.snapshot("account-bob") is None
    assert "snapshot of stream 'account-bob'" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize("name", [b"header", b"indexed"])
def test_a_log_that_does_not_know_itself_is_not_opened(store: Path, name: bytes) -> None:
    def last_byte(transaction: Any, handle: Any) -> None:
        value = transaction.get(name, db=handle)
        transaction.put(name, value[:-1] + bytes([value[-1] ^ 1]), db=handle)

    EventLog.open(store, CODEC).close()  # from now on it is known to be a store
    change(store, "meta", last_byte)
    with pytest.raises(DamagedStore, match="checksum is wrong"):
        EventLog.open(store, CODEC)


@pytest.mark.parametrize("workers", ["thread", "process"])
def test_a_damaged_event_stops_its_stream_and_the_models_and_nothing_else(store: Path, workers: Any) -> None:
    change(store, "events", flip(key(9)))
    change(store, "snapshots", lambda transaction, handle: transaction.drop(handle, delete=False))
    with System.open(store, bank, replicas=1, workers=workers) as system:
        with pytest.raises(DamagedStore, match="event at position 9"):
            system.stream("account-cleo")
        with pytest.raises(DamagedStore, match="event at position 9"):
            system.execute(Deposit("cleo", 1))
        for owner in OWNERS[:2]:
            assert system.execute(Deposit(owner, 1)).version == 11
        problems = wait_until(lambda: system.health().problems)
        assert problems[0].startswith(
            "model balances on replica-1 is stopped at position 9: the event at position 9 of the log in "
        )
        assert problems[0].endswith("; `onewriter verify` lists all damage; restore a backup")
        assert system.health().status == "degraded"
        assert not any(one.restarts for one in system.health().actors)

        def refusal() -> str:
            try:
                system.query(BalanceOf("ann"))
            except ModelStopped as error:
                return str(error)
            return ""

        # A worker tells its state and what stopped one after the other.
        assert re.search(r"event at position 9 .* restore a backup; .*runs$", wait_until(refusal))


@pytest.mark.parametrize("database", ["streams", "tags", "commands"])
def test_an_index_of_which_most_is_hidden_is_found_at_opening(store: Path, database: str) -> None:
    def hide(transaction: Any, handle: Any) -> None:
        keys = [bytes(key) for key, _ in transaction.cursor(handle)]
        for name in keys[: len(keys) // 2]:
            value = transaction.pop(name, db=handle)
            transaction.put(b"zz" + name, value, db=handle)

    change(store, database, hide)
    with pytest.raises(DamagedStore, match=f"index of {database} in .* lacks many events"):
        EventLog.open(store, CODEC)


def test_an_index_with_another_number_of_entries_than_events_is_found_at_opening(store: Path) -> None:
    change(store, "streams", delete(b"account-bob\0" + key(10)))
    with pytest.raises(DamagedStore, match=r"index of streams in .* has 29 entries for 30 events"):
        EventLog.open(store, CODEC)


def test_a_database_of_another_kind_is_found_at_opening(store: Path) -> None:
    def of_another_kind(transaction: Any, handle: Any) -> None:
        transaction.drop(handle)

    change(store, "tags", of_another_kind)
    with lmdb.open(str(store), max_dbs=20, lib_version=0) as environment:
        environment.open_db(b"tags", dupsort=True)
    with pytest.raises(DamagedStore, match=r"database tags .* another kind \(dupsort\)"):
        EventLog.open(store, CODEC)


@pytest.mark.parametrize("size", [0, 19, 27, 200])
@pytest.mark.parametrize("database", ["streams", "tags", "commands", "notes"])
def test_an_entry_whose_key_has_another_size_hides_nothing(store: Path, database: str, size: int) -> None:
    looks: dict[str, tuple[bytes, Look]] = {
        "streams": (b"account-bob\0" + key(5), lambda log: log.read_stream("account-bob")),
        "tags": (b"owner-bob\0" + key(14), lambda log: log.read_tag("owner-bob")),
        "commands": (b"nothing-2", lambda log: log.command("nothing-2")),
        "notes": (b"sub/letters/state", lambda log: log.notes(b"sub/")),
    }
    name, look = looks[database]
    data = (store / "data.mdb").read_bytes()
    node = len(name).to_bytes(2, "little") + name
    assert node in data
    (store / "data.mdb").write_bytes(data.replace(node, size.to_bytes(2, "little") + name))
    # It is in the way of searches for others, too, so that the opening may find it.
    with pytest.raises(DamagedStore), EventLog.open(store, CODEC, verify_bytes=0) as log:
        look(log)
