"""Ids of old commands are forgotten, and nothing else is: events, chain, and what is newer."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from actors import Do, Domain, System, restore
from actors.cli import export_store, import_store
from actors.runtime import id_retention, periodic_writer_task
from storage import EventLog
from tests import inside
from tests.bank_domain import Deposit, Open, Richest, bank
from tests.helpers import PATIENCE, wait_until


class Later:
    """The time, later by so many seconds as a test says."""

    seconds = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.seconds

    def time(self) -> float:
        return time.time() + self.seconds


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    clock = Later()
    for module in (id_retention, periodic_writer_task):
        monkeypatch.setattr(module, "time", clock)
    return clock


def retention(system: System) -> Any:
    return inside.maintenance(system).id_retention


def test_ids_are_known_for_their_time_and_forgotten_after_it(store_path: Path, later: Later) -> None:
    with System.open(store_path, bank, replicas=1) as system:
        system.execute(Open("ann"), command_id="open")
        kept = system.chain_head()
        ids = [f"id-{number}" for number in range(1200)]
        for first in range(0, 1200, 400):
            for id in ids[first : first + 400 : 100]:
                system.execute(Deposit("ann", 1), command_id=id)
            system.execute_many([Deposit("ann", 1)] * 400)
        system.execute(Deposit("ann", 0), command_id="nothing")  # it has no event
    with System.open(store_path, bank, replicas=1, id_retention=timedelta(hours=1)) as system:
        later.seconds = 1800.0
        wait_until(lambda: retention(system)._task is None and retention(system)._next > 0)
        assert system.execute(Deposit("ann", 1), command_id="id-0").position == 2
        commands = system.info().commands
        position = system.position
        later.seconds = 3700.0
        wait_until(lambda: retention(system).removed == position)  # in several steps
        wait_until(lambda: retention(system)._task is None)
        assert system.info().commands == commands - retention(system).removed
        assert system.verify_log(kept).findings == []
        assert system.execute(Deposit("ann", 0), command_id="nothing").events == ()
        again = system.execute(Deposit("ann", 1), command_id="id-0")
        assert again.position == position + 1
        assert system.execute(Deposit("ann", 1), command_id="id-0").position == position + 1
        check = system.verify_log(kept)
        assert check.findings == []
        system.compact()
        assert system.verify_log(kept).findings == []
        system.backup(store_path.with_name("backups"))
    restored = store_path.with_name("restored")
    restore(store_path.with_name("backups"), restored)
    with System.open(restored, bank, replicas=1, managers=True, id_retention=3600) as system:
        # Made of the events, it has the ids again.
        assert system.position == position + 1
        assert system.verify_log(kept).findings == []
    # So does what is imported.
    assert export_store.main([str(store_path), f"{restored}.jsonl"]) == 0
    assert import_store.main([f"{restored}.jsonl", f"{restored}-again"]) == 0
    with System.open(f"{restored}-again", bank, replicas=1, managers=True) as system:
        assert system.verify_log().findings == []
        assert system.execute(Deposit("ann", 1), command_id="id-0").position == position + 1
    # The original opens, and is sound, without the setting too.
    with System.open(store_path, bank, replicas=1) as system:
        assert system.execute(Deposit("ann", 1), command_id="id-0").position == position + 1
        assert system.verify_log(kept).findings == []
        assert system.query(Richest(), consistency="strong")[0]["balance"] == position


def test_a_record_that_is_missing_later_than_what_was_forgotten_is_found(
    store_path: Path, later: Later
) -> None:
    with System.open(store_path, bank, replicas=1) as system:
        system.execute(Open("ann"), command_id="open")
        system.execute_many([Deposit("ann", 1)] * 1300)
    # Closed in between, so that the indexes have all of them, however they came in batches.
    later.seconds = 3700.0
    with System.open(store_path, bank, replicas=1, id_retention=3600) as system:
        wait_until(lambda: retention(system).removed > 500)
        later.seconds = 0.0
        wait_until(lambda: retention(system)._task is None)
        receipts = system.execute_many([Deposit("ann", 1)] * 3)
    with EventLog.open(store_path, bank.compile().codec, siblings=["replicas", "identity"]) as log:
        assert log.verify().findings == []
        key = receipts[-1].command_id.encode()
        with log._environment.begin(write=True) as transaction:  # type: ignore[union-attr]
            assert transaction.delete(key, db=log._databases["commands"])
        assert any("is missing or another one" in line for line in log.verify().findings)


def test_the_ids_of_process_managers_are_kept(store_path: Path, later: Later) -> None:
    domain = Domain("kept")

    @domain.state(stream="order-{order}")
    class Order:
        order: str

    @domain.event(Order, state=None)
    class Placed:
        order: str

    @domain.event(Order, state=None)
    class Shipped:
        order: str

    @domain.command(Order)
    class Place:
        order: str

    @domain.command(Order)
    class Ship:
        order: str

    @domain.decide
    def place(_order: Order | None, command: Place) -> Any:
        yield Placed(command.order)

    @domain.decide
    def ship(_order: Order | None, command: Ship) -> Any:
        yield Shipped(command.order)

    shipping = domain.process_manager("shipping", key="order", start="beginning")

    @shipping.state
    class Shipping:
        order: str

    @shipping.on
    def on_placed(_state: None, event: Placed, do: Do) -> Shipping:
        do.execute(Ship(event.order))
        return Shipping(event.order)

    with System.open(store_path, domain, replicas=1) as system:
        for number in range(5):
            system.execute(Place(str(number)), command_id=f"place-{number}")
        system.wait_process_managers(timeout=PATIENCE)
        shipped = [one.command_id for one in system.stream("order-1") if one.type == "Shipped"]
    with System.open(store_path, domain, replicas=1, id_retention=60) as system:
        later.seconds = 100.0
        wait_until(lambda: retention(system).removed == 5)
        log = inside.log(system)
        assert log.command("place-1") is None
        assert log.command(shipped[0]) is not None
        assert system.verify_log().findings == []


def test_a_step_whose_commit_fails_holds_nothing_up_and_is_taken_again(
    store_path: Path, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    with System.open(store_path, bank, replicas=1) as system:
        system.execute(Open("ann"), command_id="open")
        system.execute_many([Deposit("ann", 1)] * 50)
    with System.open(store_path, bank, replicas=1, id_retention=60) as system:
        wait_until(lambda: retention(system)._task is None and retention(system)._next > 0)
        failed = []

        def fails(self: EventLog, transaction: Any) -> None:
            failed.append(1)
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(EventLog, "_commit", fails)
            later.seconds = 100.0
            wait_until(lambda: failed)
        assert system.execute(Deposit("ann", 1)).position == 52
        wait_until(lambda: retention(system)._task is None)
        later.seconds = 200.0
        wait_until(lambda: retention(system).removed == 51)
        assert system.verify_log().findings == []


@pytest.mark.parametrize("seconds", [0, 59, -1, True, "1 h", timedelta(seconds=1), float("nan")])
def test_a_retention_that_is_too_short_or_none_is_refused(store_path: Path, seconds: Any) -> None:
    with pytest.raises(ValueError, match="id_retention="):
        System.open(store_path, bank, id_retention=seconds)
