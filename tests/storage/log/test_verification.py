"""Verification of a log: what it finds, and the head of the chain that is kept elsewhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest

from storage.errors import DamagedStore
from storage.log.checksums import event_link, sealed_events, sealed_record
from storage.log.event_log import EventLog
from storage.log.log_follower import LogFollower
from storage.log.verification import verify_store
from tests.fixtures import bank_store
from tests.fixtures.bank_store import bank

CODEC = bank.compile().codec
STORES = Path(bank_store.__file__).parent
HEAD = 30

Change = Callable[[Any, Any], object]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STORES / "format3", tmp_path / "store"))


def change(store: Path, database: str, how: Change) -> None:
    """Change a database of a closed store, as a program with bad intentions could."""
    with lmdb.open(os.fspath(store), max_dbs=20, lib_version=0) as environment:
        handle = environment.open_db(database.encode(), create=False)
        with environment.begin(write=True) as transaction:
            how(transaction, handle)


def key(position: int) -> bytes:
    return position.to_bytes(8)


def flip(name: bytes) -> Change:
    """Change the first byte of a value."""

    def of(transaction: Any, handle: Any) -> None:
        value = transaction.get(name, db=handle)
        transaction.put(name, bytes([value[0] ^ 1]) + value[1:], db=handle)

    return of


def put(name: bytes, value: bytes) -> Change:
    return lambda transaction, handle: transaction.put(name, value, db=handle)


def delete(name: bytes) -> Change:
    return lambda transaction, handle: transaction.delete(name, db=handle)


def forge(transaction: Any, handle: Any) -> None:
    """Replace event 4, alone in its commit, by event 7 with a right checksum and a digest of its own."""
    body = transaction.get(key(7), db=handle)[:-36]
    transaction.put(key(4), sealed_events(4, [body], event_link(bytes(32), 4, [body]))[0], db=handle)


DAMAGE: dict[str, tuple[str, Change, str]] = {
    "an event": ("events", flip(key(9)), "event at position 9 is not what was written .* checksum"),
    "an event of another position": (
        "events",
        lambda transaction, handle: transaction.put(key(5), transaction.get(key(6), db=handle), db=handle),
        "event at position 5 is not what was written",
    ),
    "a forged event": ("events", forge, "events from position 4 to 4 are not those that were committed"),
    "an event removed": ("events", delete(key(12)), "events at positions 12 to 12 are missing"),
    "a record of a command": ("commands", flip(b"nothing-2"), "record of command 'nothing-2' .* checksum"),
    "a forged record of a command": (
        "commands",
        put(b"nothing-2", sealed_record("commands", b"nothing-2", b"forged")),
        "1 command records that were committed together after position 12",
    ),
    "a record of a command removed": (
        "commands",
        delete(b"deposit-2-bob"),
        "record of command 'deposit-2-bob'",
    ),
    "a record of a command added": (
        "commands",
        put(b"new", sealed_record("commands", b"new", b"x")),
        "index of commands has 40 entries for 39",
    ),
    "a note": ("notes", flip(b"sub/letters/state"), "the note .* checksum is wrong"),
    "a snapshot": ("snapshots", flip(b"account-bob"), "snapshot of stream 'account-bob'"),
    "an entry of a stream": (
        "streams",
        put(b"account-bob\0" + key(3), key(7)),
        "index of stream 'account-bob' lacks version 3, at position 8",
    ),
    "an entry of a stream removed": (
        "streams",
        delete(b"account-cleo\0" + key(10)),
        "index of stream 'account-cleo' lacks version 10, at position 30",
    ),
    "an entry of a stream added": (
        "streams",
        put(b"account-dan\0" + key(1), key(3)),
        "index of streams has 31 entries for 30",
    ),
    "an entry of a tag removed": (
        "tags",
        delete(b"money\0" + key(20)),
        "index of tag 'money' lacks position 20",
    ),
    "an entry of a tag that has got a value": (
        "tags",
        put(b"money\0" + key(20), b"something"),
        "index of tag 'money' lacks position 20, or is damaged there",
    ),
    "how far the indexes are": ("meta", flip(b"indexed"), "entry 'indexed' .* checksum"),
    "a link": ("chain", flip(key(12) + key(0)), "link of the chain .* checksum"),
}


def test_a_sound_log_has_no_findings_and_its_chain_ends_where_the_writer_says(store: Path) -> None:
    found = verify_store(store)
    assert (found.sound, found.format, found.events, found.findings) == (True, 3, HEAD, [])
    with EventLog.open(store, CODEC) as log:
        assert log.chain_head() == (HEAD, found.chain)
        assert log.verify() == found
        log.append([], notes=[(b"k", b"v")])
        assert log.chain_head() == (HEAD, found.chain)
    with LogFollower.open(store, CODEC) as reader:
        reader.advance(HEAD)
        assert reader.chain_head() == (HEAD, found.chain)


@pytest.mark.parametrize(("database", "how", "told"), DAMAGE.values(), ids=DAMAGE.keys())
def test_each_damage_is_found(store: Path, database: str, how: Change, told: str) -> None:
    change(store, database, how)
    found = verify_store(store)
    assert not found.sound
    with pytest.raises(DamagedStore, match=told):
        raise DamagedStore("; ".join(found.findings))


def test_a_head_that_was_kept_elsewhere_finds_another_history(store: Path) -> None:
    heads = []
    with EventLog.open(store, CODEC) as log:
        heads.append(log.chain_head())
        event = log.read(HEAD - 1)[0]
        event.position, event.version, event.command_id = HEAD + 1, event.version + 1, "other"
        log.append([event])
        heads.append(log.chain_head())
    assert len({digest for _, digest in heads}) == 2
    for head in heads:
        assert verify_store(store, head).sound
    # As a restored backup: the same up to the first head.
    other = STORES / "format3"
    assert verify_store(other, heads[0]).sound
    for head in (heads[1], (HEAD - 1, heads[0][1])):
        [finding] = verify_store(other, head).findings
        assert "the history up to there is not the one for which it was kept" in finding


def test_the_chain_of_a_new_log_begins_with_its_history(tmp_path: Path) -> None:
    chains = set()
    for name in ("one", "other"):
        with EventLog.open(tmp_path / name, CODEC) as log:
            position, chain = log.chain_head()
        assert position == 0
        assert verify_store(tmp_path / name, (0, chain)).chain == chain
        chains.add(chain)
    assert len(chains) == 2


@pytest.mark.parametrize("chain", [(1, "ab"), (-1, "00" * 32), (True, "00" * 32), (1, None), (1, "xy" * 32)])
def test_what_can_be_no_head_of_a_chain_is_refused(store: Path, chain: Any) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        verify_store(store, chain)


def test_events_in_the_unindexed_tail_are_no_damage(tmp_path: Path, store: Path) -> None:
    with EventLog.open(store, CODEC) as log:
        event = log.read(HEAD - 1)[0]
        event.position, event.version, event.command_id = HEAD + 1, event.version + 1, "other"
        log.append([event])
        assert log.verify().findings == []
        copy = tmp_path / "copy"
        copy.mkdir()
        shutil.copy(store / "data.mdb", copy)
        assert verify_store(copy).sound
        assert verify_store(copy).events == HEAD + 1


def test_the_older_formats_are_verified_without_a_chain() -> None:
    for number in (1, 2):
        found = verify_store(STORES / f"format{number}")
        assert (found.sound, found.format, found.events, found.chain) == (True, number, HEAD, None)


def test_a_verification_tells_how_far_it_is(store: Path) -> None:
    told: list[tuple[int, int]] = []
    verify_store(store, progress=lambda done, total: told.append((done, total)))
    assert told == [(HEAD, HEAD)]
