"""Stores of each released format, kept as files: taken over, read without being changed, and served."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import lmdb
import pytest

from actors import System
from storage import DamagedStore
from storage.files.header import ARCHIVES_FORMAT
from storage.log.event_log import EventLog
from storage.log.log_follower import LogFollower
from storage.log.take_over import COPY_FILE
from tests.fixtures import bank_store
from tests.fixtures.bank_store import OWNERS, ROUNDS, BalanceOf, bank

FIXTURES = Path(bank_store.__file__).parent
CODEC = bank.compile().codec
FORMATS = [1, 2, 3, 4]
EVENTS = len(OWNERS) * (1 + ROUNDS)
BALANCES = {owner: sum(10 * number + at + 1 for number in range(ROUNDS)) for at, owner in enumerate(OWNERS)}


@pytest.fixture(params=FORMATS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / f"format{request.param}", tmp_path / "store"))


def read_all(log: EventLog | LogFollower) -> dict[str, object]:
    """Everything that the log says of the store."""
    return {
        "events": log.read(),
        "streams": {stream: log.read_stream(stream) for stream, _ in log.streams()},
        "tags": {tag: log.read_tag(tag) for tag in ("money", *(f"owner-{owner}" for owner in OWNERS))},
        "commands": [log.command(f"nothing-{number}") for number in range(ROUNDS)],
        "first": log.command("open-ann"),
        "snapshots": [log.snapshot(f"account-{owner}") for owner in OWNERS],
        "notes": log.notes(b""),
        "digest": log.digest(EVENTS),
    }


def test_there_is_a_store_of_every_format() -> None:
    assert list(range(1, ARCHIVES_FORMAT + 1)) == FORMATS
    assert sorted(path.name for path in FIXTURES.glob("format*")) == [f"format{n}" for n in FORMATS]


def test_a_store_of_each_format_is_served(store: Path) -> None:
    with System.open(store, bank, replicas=1) as system:
        for owner in OWNERS:
            assert system.query(BalanceOf(owner), consistency="strong") == BALANCES[owner]
            amounts = [getattr(recorded.event, "amount", 0) for recorded in system.stream(f"account-{owner}")]
            assert sum(amounts) == BALANCES[owner]
        again = system.execute(bank_store.Deposit("bob", 2, "number 0"), command_id="deposit-0-bob")
        assert again.position == 5
        assert system.execute(bank_store.Deposit("ann", 0), command_id="nothing-3").position == 15
        assert bank_store.consume(system, 3) == [11, 12, 13]
        system.execute(bank_store.Deposit("bob", 1))
        assert system.query(BalanceOf("bob"), consistency="strong") == BALANCES["bob"] + 1


def test_it_reads_the_same_before_it_is_taken_over_and_after(store: Path) -> None:
    with LogFollower.open(store, CODEC) as reader:
        reader.advance(EVENTS)
        before = read_all(reader)
    with EventLog.open(store, CODEC, siblings=["replicas"]) as log:
        assert read_all(log) == before
    with EventLog.open(store, CODEC, siblings=["replicas"]) as log:
        assert read_all(log) == before
    assert not (store / COPY_FILE).exists()


def test_a_take_over_tells_how_far_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Path(shutil.copytree(FIXTURES / "format2", tmp_path / "store"))
    told: list[tuple[int, int]] = []
    caplog.set_level(logging.INFO, "onewriter.log")
    EventLog.open(store, CODEC, progress=lambda done, total: told.append((done, total))).close()
    assert told[-1][0] <= told[-1][1] == 162
    assert told == sorted(told)
    assert "has format 2: its log is copied to format 3" in caplog.text
    assert "has format 3 now: 162 records" in caplog.text
    told.clear()
    EventLog.open(store, CODEC, progress=lambda done, total: told.append((done, total))).close()
    assert told == []


def test_a_copy_that_a_killed_process_left_is_made_anew(tmp_path: Path) -> None:
    store = Path(shutil.copytree(FIXTURES / "format1", tmp_path / "store"))
    (store / COPY_FILE).write_bytes(b"half a copy")
    with EventLog.open(store, CODEC) as log:
        assert log.head == EVENTS
    assert not (store / COPY_FILE).exists()


def test_a_store_that_lacks_a_position_is_not_taken_over(tmp_path: Path) -> None:
    store = Path(shutil.copytree(FIXTURES / "format2", tmp_path / "store"))
    with lmdb.open(str(store), max_dbs=20) as environment, environment.begin(write=True) as txn:
        txn.delete((7).to_bytes(8), db=environment.open_db(b"events", txn=txn))
    before = (store / "data.mdb").read_bytes()
    with pytest.raises(DamagedStore, match=r"a position of the log in .* between 1 and 29 is missing"):
        EventLog.open(store, CODEC)
    assert (store / "data.mdb").read_bytes() == before
