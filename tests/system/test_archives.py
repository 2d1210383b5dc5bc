"""Archives with a running system: planned, made while commands go on, read by everything, and removed."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from actors import (
    ArchiveRefused,
    ArchiveUnavailable,
    CommandTimeout,
    Do,
    Domain,
    EventsRemoved,
    ModelStopped,
    OpenedForReading,
    Personal,
    System,
    SystemClosed,
    WouldLose,
    WrongThread,
    restore,
)
from actors.__main__ import main
from actors.kernel.delivery_marks import MARKS_FILE
from actors.replication.replicas_folder import REPLICAS
from actors.retention import archiving, removing
from actors.runtime import archive_moves
from actors.runtime.store_identity import IDENTITY_FILE
from storage import Codec, EventLog
from tests import inside
from tests.helpers import PATIENCE, wait_until
from tests.system.warehouse import (
    CountItems,
    CountTaken,
    Ordered,
    PlaceOrder,
    Sold,
    Take,
    Taken,
    fill,
    read_back,
    rows,
    sales,
    shelves,
    warehouse,
)

Workers = Literal["thread", "process"]
WORKERS = [pytest.param("thread"), pytest.param("process", marks=pytest.mark.slow)]
Name = Annotated[str, Personal(subject="member")]
WHO = {"who": "ann", "why": "old"}
DONE = ["order-o0", "order-o1", "order-o2"]
DOMAIN = ["--domain", "tests.system.warehouse:warehouse"]


@pytest.fixture
def system(store_path: Path) -> Iterator[System]:
    """Six orders, three of which are closed."""
    with System.open(store_path, warehouse, replicas=2) as opened:
        fill(opened)
        opened.wait_process_managers()
        opened.close_streams(DONE, **WHO)
        yield opened


def archived(system: System, **selected: Any) -> Any:
    return system.archive(system.plan_archive(**selected), **WHO)


# -- plans ---------------------------------------------------------------------------------------------------
def test_a_plan_of_closed_streams_has_all_their_events_and_changes_nothing(system: System) -> None:
    before = read_back(system)
    seen: list[tuple[int, int]] = []
    plan = system.plan_archive(progress=lambda done, total: seen.append((done, total)))
    assert (plan.streams, plan.events, dict(plan.parts)) == (3, 9, {"closed": 3})
    assert (plan.first, plan.last, plan.stays) == (1, 15, 27)
    assert plan.bytes == sum(len(inside.log(system).records(at - 1, 1)[0]) for at in plan._positions)
    assert (plan.left_out, plan.examples, plan.behind, plan.more) == ({}, (), (), False)
    assert seen[-1] == (9, 36)
    assert (read_back(system), system.archives()) == (before, [])


@pytest.mark.parametrize(
    ("selected", "events", "parts", "left_out"),
    [
        ({"category": "order"}, 9, {"closed": 3}, {}),
        ({"category": "stock"}, 0, {}, {}),
        ({"streams": "order-o0"}, 3, {"closed": 1}, {}),
        (
            {"streams": ["order-o0", "order-o5", "no-1"]},
            3,
            {"closed": 1},
            {"it is open": 1, "it has no events": 1},
        ),
        ({"closed": False}, 36, {"closed": 3, "whole": 5}, {}),
        ({"closed": False, "category": "stock"}, 18, {"whole": 2}, {}),
        (
            {"before_snapshot": True},
            25,
            {"closed": 3, "before its snapshot": 2},
            {"it is open, and has no snapshot that the code can use": 3},
        ),
        ({"before_snapshot": True, "category": "stock"}, 16, {"before its snapshot": 2}, {}),
        ({"limit": 4}, 3, {"closed": 1}, {}),
        ({"limit": 1}, 3, {"closed": 1}, {}),
        ({"limit": 9}, 9, {"closed": 3}, {}),
    ],
)
def test_what_is_selected(
    system: System, selected: dict[str, Any], events: int, parts: dict[str, int], left_out: dict[str, int]
) -> None:
    plan = system.plan_archive(**selected)
    assert (plan.events, dict(plan.parts), dict(plan.left_out)) == (events, parts, left_out)
    assert plan.stays == 36 - events
    assert plan.more == (selected.get("limit", 9) < 9)
    assert {why for _, why in plan.examples} == set(left_out)


def test_streams_with_late_events_are_left_out(system: System) -> None:
    now = datetime.now(UTC)
    assert system.plan_archive(quiet_since=now + timedelta(hours=1)).events == 9
    plan = system.plan_archive(quiet_since=now - timedelta(hours=1))
    assert (plan.events, dict(plan.left_out)) == (0, {"it has an event from after quiet_since": 3})


@pytest.mark.parametrize(
    ("selected", "error"),
    [
        ({"streams": [5]}, TypeError),
        ({"streams": 5}, TypeError),
        ({"streams": ["x\0"]}, ValueError),
        ({"category": "order-o1"}, ValueError),
        ({"category": "order", "streams": "order-o1"}, ValueError),
        ({"quiet_since": datetime(2026, 1, 1)}, ValueError),
        ({"closed": False, "before_snapshot": True}, ValueError),
        ({"limit": 0}, ValueError),
    ],
)
def test_what_can_not_be_selected_is_refused(
    system: System, selected: dict[str, Any], error: type[Exception]
) -> None:
    from actors import InvalidKey

    with pytest.raises(TypeError, match=r"archive\(\) takes what plan_archive\(\) has returned, not 'all'"):
        system.archive("all", **WHO)  # type: ignore[arg-type]
    with pytest.raises((error, InvalidKey)):
        system.plan_archive(**selected)


def test_a_plan_names_who_is_behind(system: System) -> None:
    for name, options in {
        "mails": {"types": Ordered},
        "shelves": {"category": "stock"},
        "half": {"start": 5},
        "first": {"stream": "order-o0"},
        "tagged": {"tag": "sku-s1"},
        "done": {"start": "now"},
    }.items():
        system.consumer(name, **options).close()
    plan = system.plan_archive()
    assert [tuple(one) for one in plan.behind] == [
        ("consumer", "first", 3),
        ("consumer", "half", 6),
        ("consumer", "mails", 9),
        ("consumer", "tagged", 3),
    ]


# -- archiving -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("workers", WORKERS)
def test_everything_is_read_from_an_archive_as_it_was(store_path: Path, workers: Workers) -> None:
    with System.open(store_path, warehouse, replicas=2, workers=workers) as system:
        fill(system)
        system.wait_process_managers()
        system.close_streams(DONE, **WHO)
        system.consumer("mails", types=Ordered).close()
        before = read_back(system)
        done = archived(system, before_snapshot=True)
        assert (done.number, done.events, done.first, done.last) == (1, 25, 1, 34)
        assert (done.state, done.who, done.why) == ("archived", "ann", "old")
        assert system.archives() == [done]
        assert Path(done.file).exists()
        assert read_back(system) == before
        assert system.query(Sold("s1")) == 6
        with system.consumer("mails", types=Ordered) as mails:
            assert [one.event.order for one in islice(mails, 4)] == ["o0", "o1", "o2", "o3"]
        for model in (sales, shelves):
            system.rebuild(model, wait=True, timeout=60)
        assert rows(system) == before[3]
        assert system.execute(Take("s0")).version == 10
        assert system.execute(CountItems("o3")).events[0].sku == "3 before"
        assert system.verify_log().findings == []
        assert system.health().status == "ok"
        assert system.plan_archive(before_snapshot=True).events == 0
    with System.open(store_path, warehouse, replicas=1, workers=workers) as system:
        assert [one.reset_reason for one in system.health().replicas] == [None]
        assert system.execute(Take("s1")).version == 10
        system.wait_applied()
        last = rows(system)
    with System.open(store_path, warehouse, replicas=1, mode="read", workers=workers) as reader:
        reader.wait_applied()
        assert rows(reader) == last
        assert reader.archives() == [done]
        with pytest.raises(OpenedForReading):
            reader.archive(reader.plan_archive(closed=False), **WHO)


def test_commands_go_on_while_events_are_moved(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STEP", "FEWEST", "MOST"):
        monkeypatch.setattr(archiving, name, 1)
    between: list[int] = []

    def placing(done: int, total: int) -> None:
        assert done <= total == 18
        if done > 9:  # the file is written
            between.append(system.execute(PlaceOrder("o5", "more")).version)

    plan = system.plan_archive()
    done = system.archive(plan, **WHO, progress=placing)
    assert (done.events, done.state) == (9, "archived")
    assert len(between) >= 9
    assert between == list(range(4, 4 + len(between)))
    assert len(system.stream("order-o0")) == 3


def test_a_plan_that_no_longer_holds_is_refused(system: System) -> None:
    plan = system.plan_archive()
    system.reopen_streams("order-o1", who="bob", why="back")
    with pytest.raises(
        ArchiveRefused, match="stream 'order-o1' was opened again; nothing was archived; plan"
    ):
        system.archive(plan, **WHO)
    plan = system.plan_archive()
    system.plan_correction(lambda one: Ordered(one.event.order, one.event.sku), types=Ordered)
    correction = system.plan_correction(
        lambda one: (one.event, {"seen": True}) if one.position == 1 else None, types=Ordered
    )
    correction.apply(who="bob", why="a test")
    with pytest.raises(ArchiveRefused, match="correction 3 has changed an event of it"):
        system.archive(plan, **WHO)
    quiet = system.plan_archive(closed=False, category="stock", quiet_since=datetime.now(UTC) + timedelta(1))
    system.execute(Take("s0"))
    with pytest.raises(ArchiveRefused, match="stream 'stock-s0' has a new event"):
        system.archive(quiet, **WHO)
    with pytest.raises(ArchiveRefused, match="nothing to archive"):
        archived(system, category="nobody")
    with pytest.raises(ValueError, match="is a text that is not empty"):
        system.archive(system.plan_archive(), who="", why="x")
    assert system.archives() == []
    assert archived(system).events == 6


def test_a_plan_of_another_store_is_refused(system: System, tmp_path: Path) -> None:
    plan = system.plan_archive()
    with System.open(tmp_path / "other", warehouse, replicas=1) as other:
        fill(other)
        with pytest.raises(ArchiveRefused, match="made for another store"):
            other.archive(plan, **WHO)


def test_one_call_archives_at_a_time_and_none_in_an_actors_thread(system: System) -> None:
    plan, errors = system.plan_archive(), list[Exception]()

    def again(_done: int, _total: int) -> None:
        try:
            system.archive(plan, **WHO)
        except Exception as error:
            errors.append(error)

    system.archive(plan, **WHO, progress=again)
    assert errors
    assert all("another call archives" in str(one) for one in errors)
    errors.clear()
    system.on_committed(again)
    system.execute(Take("s0"))
    wait_until(lambda: errors)
    assert isinstance(errors[0], WrongThread)


def test_what_a_call_could_not_finish_is_moved_by_itself(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "MOST", 2)
    for module in (archiving, archive_moves):
        monkeypatch.setattr(module, "STEP", 2)

    class Given(Exception):
        pass

    def give_up(done: int, _total: int) -> None:
        if done > 9:
            raise Given

    before = [system.stream(one) for one in DONE]
    with pytest.raises(Given):
        system.archive(system.plan_archive(), **WHO, progress=give_up)
    assert [system.stream(one) for one in DONE] == before
    wait_until(lambda: [one.state for one in system.archives()] == ["archived"])
    assert [system.stream(one) for one in DONE] == before
    assert system.verify_log().findings == []


def test_a_step_that_ends_after_the_callers_time_is_gone_on_with(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the call gave up, the log did not know of the archive yet."""
    for module in (archiving, archive_moves):
        monkeypatch.setattr(module, "STEP", 2)
    log, cancelled = inside.log(system), threading.Event()
    record_archive, cancel_archive = EventLog._record_archive, EventLog.cancel_archive

    def late(*given: Any) -> Any:
        assert cancelled.wait(PATIENCE)
        return record_archive(*given)

    def cancel(*given: Any) -> None:
        cancelled.set()
        cancel_archive(*given)

    monkeypatch.setattr(EventLog, "_record_archive", late)
    monkeypatch.setattr(EventLog, "cancel_archive", cancel)
    with pytest.raises(CommandTimeout, match="what is left is moved by itself"):
        system.archive(system.plan_archive(), **WHO, timeout=0.05)
    wait_until(lambda: [one.state for one in log.archives()] == ["archived"])


def test_the_next_opening_goes_on_where_closing_has_ended_it(
    system: System, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((archiving, "STEP"), (archiving, "MOST"), (archive_moves, "STEP")):
        monkeypatch.setattr(module, name, 2)
    before = [system.stream(one) for one in DONE]
    with pytest.raises(SystemClosed):
        system.archive(
            system.plan_archive(), **WHO, progress=lambda done, _: system.close() if done > 9 else None
        )
    with System.open(store_path, warehouse, replicas=1) as again:
        wait_until(lambda: [one.state for one in again.archives()] == ["archived"])
        assert [again.stream(one) for one in DONE] == before
        assert again.verify_log().findings == []


def test_a_file_that_is_missing_is_a_problem_of_what_needs_it_alone(system: System) -> None:
    done = archived(system)
    os.rename(done.file, f"{done.file}.away")
    health = system.health()
    assert health.status == "degraded"
    assert [one for one in health.problems if "00000001.archive is missing" in one]
    with pytest.raises(ArchiveUnavailable, match=r"00000001\.archive is missing"):
        system.stream("order-o0")
    assert len(system.stream("order-o3")) == 3
    assert system.execute(CountItems("o4")).version == 4
    os.rename(f"{done.file}.away", done.file)
    assert len(system.stream("order-o0")) == 3
    assert system.health().status == "ok"


@pytest.mark.parametrize("workers", WORKERS)
def test_what_waits_for_a_missing_file_goes_on_once_it_is_back(store_path: Path, workers: Workers) -> None:
    with System.open(store_path, warehouse, replicas=1, managers=False) as system:
        fill(system)
        system.consumer("mails", types=Ordered).close()
        done = archived(system, closed=False, category="order")
    shutil.rmtree(store_path / "replicas")
    os.rename(done.file, f"{done.file}.away")
    with System.open(store_path, warehouse, replicas=2, workers=workers) as system:
        stopped = "is stopped at position 1: the event at position 1 is in archive 1"
        for replica in system.replica_names:
            sentence = f"model sales on {replica} {stopped}"
            wait_until(lambda said=sentence: any(one.startswith(said) for one in system.health().problems))
        assert system.execute(Take("s0")).version == 10
        with pytest.raises(ModelStopped, match="is missing"):
            system.query(Sold("s0"), consistency="strong", timeout=5)
        with system.consumer("mails", types=Ordered) as mails, pytest.raises(ArchiveUnavailable):
            next(mails)
        assert not [one for one in system.health().actors if one.restarts]
        os.rename(f"{done.file}.away", done.file)
        wait_until(lambda: system.health().status == "ok")
        system.wait_applied()
        system.wait_process_managers()
        assert system.query(Sold("s0"), consistency="strong") == 6
        assert len(system.process_manager_states("taking")) == 6
        with system.consumer("mails", types=Ordered) as mails:
            assert next(mails).event == Ordered("o0", "s0")


def test_archives_can_be_in_another_folder(system: System, store_path: Path, tmp_path: Path) -> None:
    archived(system)
    before = read_back(system)
    system.close()
    os.rename(store_path / "archives", tmp_path / "disk")
    with System.open(store_path, warehouse, replicas=2, archives_path=tmp_path / "disk") as moved:
        moved.wait_applied()
        moved.wait_process_managers()
        assert read_back(moved) == before
        moved.close_streams("order-o3", **WHO)
        assert Path(archived(moved).file).parent == tmp_path / "disk"
    assert not (store_path / "archives").exists()


def test_info_lists_archives(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    assert system.info().archives == ()
    done = archived(system)
    assert system.info().archives == (done,)
    assert system.info().as_dict()["archives"][0]["events"] == 9
    system.close()
    assert main(["info", system.path]) == 0
    assert "archives: 1 with 9 events" in capsys.readouterr().out


# -- removing ------------------------------------------------------------------------------------------------
def test_removing_names_all_who_lose_something(system: System) -> None:
    for name, options in {
        "mails": {"types": Ordered},
        "shelf": {"category": "stock"},
        "done": {"start": "now"},
    }.items():
        system.consumer(name, **options).close()
    archived(system, before_snapshot=True)
    plan = system.plan_removal(1)
    assert (plan.events, plan.first, plan.last, plan.tagged) == (25, 1, 34, 9)
    assert dict(plan.types) == {"Ordered": 9, "Taken": 16}
    assert (plan.open_streams, plan.closed_streams) == (2, 3)
    assert [(one.label, one.events) for one in plan.losses] == [
        ("consumer:mails", 9),
        ("consumer:shelf", 16),
        ("manager:taking", 9),
        ("model:sales", 9),
        ("model:shelves", 16),
        ("streams:stock", 16),
    ]
    whys = {one.label: one.why for one in plan.losses}
    assert whys["consumer:mails"] == "it has not had 9 of the events yet"
    assert whys["model:sales"] == "it can't be filled from all its events any more"
    assert whys["streams:stock"].startswith(
        "the state of 2 open streams (stock-s0, stock-s1) is kept as it is"
    )


@pytest.mark.parametrize("left", [0, 200])
def test_an_archive_whose_file_is_lost_can_be_removed(system: System, tmp_path: Path, left: int) -> None:
    """Else there could be no further backup of the store, and no new replica."""
    file = Path(archived(system).file)
    known = system.plan_removal(1)
    if left:
        os.truncate(file, left)
    else:
        file.unlink()
    with pytest.raises(ArchiveUnavailable):
        system.backup(tmp_path / "backups")
    seen: list[tuple[int, int]] = []
    plan = system.plan_removal(1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(9, 9)]
    assert (plan.types, plan.tagged, plan.closed_streams) == ({}, known.tagged, known.closed_streams)
    labels = [one.label for one in plan.losses]
    assert labels == ["file:1", "manager:taking", "model:sales", "model:shelves"]
    with pytest.raises(WouldLose, match=r"file:1: the archive .* is (missing|damaged)"):
        system.remove_archive(1, lose=labels[1:], **WHO)
    assert system.remove_archive(1, lose=labels, **WHO).state == "removed"
    assert not file.exists()
    system.backup(tmp_path / "backups")
    assert (system.verify_log().findings, system.health().status) == ([], "ok")


def test_an_open_stream_without_a_snapshot_is_named_as_lost(system: System) -> None:
    archived(system, closed=False, streams=["order-o4"])
    [*_, loss] = system.plan_removal(1).losses
    assert loss.label == "streams:order"
    assert loss.why == "the state of the open stream 'order-o4' can't be found any more"
    system.remove_archive(1, lose="all", **WHO)
    with pytest.raises(EventsRemoved, match="order-o4"):
        system.execute(CountItems("o4"))
    assert system.execute(CountItems("o5")).version == 4


def test_a_stream_that_is_opened_again_while_its_archive_is_removed_is_planned_again(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    archived(system)
    lose = [one.label for one in system.plan_removal(1).losses]
    planned = removing.plan_of_removal

    def plan(*given: Any) -> Any:
        found = planned(*given)
        system.reopen_streams("order-o0", **WHO)
        return found

    monkeypatch.setattr(removing, "plan_of_removal", plan)
    with pytest.raises(WouldLose, match="order-o0"):
        system.remove_archive(1, lose=lose, **WHO)
    assert len(system.stream("order-o0")) == 3
    assert system.remove_archive(1, lose=[*lose, "streams:order"], **WHO).state == "removed"


def test_nobody_loses_what_was_not_agreed_to(system: System) -> None:
    system.consumer("mails", types=Ordered).close()
    archived(system)
    before = read_back(system)
    with pytest.raises(
        WouldLose, match="model:sales: it can't be filled from all its events any more"
    ) as caught:
        system.remove_archive(1, **WHO)
    labels = [label for label, _ in caught.value.losses]
    assert labels == ["consumer:mails", "manager:taking", "model:sales"]
    with pytest.raises(WouldLose, match="lost to consumer:mails: it has not had 9 of the events yet; if"):
        system.remove_archive(1, lose=labels[1:], **WHO)
    with pytest.raises(TypeError, match="lose= is a list of names"):
        system.remove_archive(1, lose="model:sales", **WHO)  # type: ignore[arg-type]
    with pytest.raises(ArchiveRefused, match="there is no archive 2; there are: 1"):
        system.remove_archive(2, lose="all", **WHO)
    assert (read_back(system), system.archives()[0].state) == (before, "archived")
    done = system.remove_archive(1, lose=labels, **WHO)
    assert (done.state, done.removed_who, done.removed_why) == ("removed", "ann", "old")
    with pytest.raises(ArchiveRefused, match="archive 1 is removed already"):
        system.remove_archive(1, lose="all", **WHO)
    assert not Path(done.file).exists()


@pytest.mark.parametrize("workers", WORKERS)
def test_what_remains_after_a_removal(store_path: Path, workers: Workers) -> None:
    with System.open(store_path, warehouse, replicas=2, workers=workers) as system:
        fill(system)
        system.close_streams(DONE, **WHO)
        system.wait_process_managers()
        archived(system, before_snapshot=True)
        before, position = rows(system), system.position
        system.remove_archive(1, lose="all", **WHO)
        assert (rows(system), system.position) == (before, position)
        with pytest.raises(EventsRemoved, match="order-o0"):
            system.stream("order-o0")
        assert system.execute(Take("s0")).version == 10
        assert system.execute(PlaceOrder("o5", "s9")).version == 4
        left = [one.position for one in system.subscribe(until=system.position)]
        assert left == [4, 5, 6, 10, 11, 12, 16, 17, 18, 35, 36, 37, 38]
        # What one replica has done with all events is not compared with what another one does without them.
        system.wait_applied()
        system.rebuild(sales, wait=True, timeout=60)
        assert {row["sku"]: row["count"] for row in rows(system)[0][0]["sold"]} == {
            "s0": 3,
            "s1": 3,
            "s2": 3,
            "s9": 1,
        }
        assert [len(system.tagged(f"sku-s{number}")) for number in range(3)] == [3, 3, 3]
        assert system.verify_log().findings == []
        assert system.health().status == "ok"
    with System.open(store_path, warehouse, replicas=2, workers=workers) as system:
        assert system.execute(Take("s1")).version == 10
        system.wait_process_managers()
        assert system.health().status == "ok"


def test_what_was_removed_is_neither_executed_again_nor_in_a_receipt(system: System) -> None:
    system.reopen_streams("order-o0", **WHO)
    receipt = system.execute(PlaceOrder("o0", "s7"), command_id="once")
    system.close_streams("order-o0", **WHO)
    archived(system)
    assert system.execute(PlaceOrder("o0", "s7"), command_id="once") == receipt
    system.remove_archive(1, lose="all", **WHO)
    again = system.execute(PlaceOrder("o0", "s7"), command_id="once")
    assert (again.position, again.versions, again.events) == (receipt.position, receipt.versions, ())
    system.reopen_streams("order-o0", **WHO)
    with pytest.raises(EventsRemoved, match="order-o0"):
        system.execute(PlaceOrder("o0", "s7"))


def test_a_manager_of_a_new_version_reads_archives_and_does_without_removed_ones(store_path: Path) -> None:
    def counting(version: int) -> Domain:
        domain = Domain("counting")

        @domain.event(state=None, stream="thing-{thing}")
        class Counted:
            thing: str

        manager = domain.process_manager("tally", key="thing", start="beginning", version=version)

        @manager.state
        class Tally:
            thing: str
            count: int

        def counted(state: Any, event: Any, do: Do) -> Any:
            return Tally(event.thing, 1 if state is None else state.count + 1)

        counted.__annotations__.update(state=Tally | None, event=Counted)
        manager.on(counted)
        vars(domain).update(Counted=Counted)
        return domain

    def counts(version: int, change: Any = lambda _system: None) -> list[int]:
        with System.open(store_path, counting(version), replicas=1) as system:
            system.wait_process_managers()
            found = [state.count for _, state in system.process_manager_states("tally")]
            change(system)
            return found

    def begin(system: Any) -> None:
        for thing in ("a", "a", "b"):
            system.append(f"thing-{thing}", [system.domain.Counted(thing)])
        system.wait_process_managers()
        system.close_streams("thing-a", **WHO)
        archived(system)

    counts(1, begin)
    assert counts(2, lambda system: system.remove_archive(1, lose=["manager:tally"], **WHO)) == [2, 1]
    assert counts(2) == [2, 1]
    assert counts(3) == [1]


def test_the_state_of_a_truncated_stream_is_kept_in_backups_exports_and_without_snapshots(
    system: System, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archived(system, before_snapshot=True, category="stock")
    system.remove_archive(1, lose="all", **WHO)
    assert stock_of(system) == [9, 9]
    inside.log(system).drop_snapshots(["stock-s0", "stock-s1"])
    system.kill("command-handler")
    assert stock_of(system) == [9, 9]
    system.backup(tmp_path / "backups")
    system.close()
    restore(tmp_path / "backups", tmp_path / "restored")
    assert run("export", system.path, tmp_path / "lines") == 0
    assert run("import", tmp_path / "lines", tmp_path / "imported") == 0
    for name in ("restored", "imported"):
        with System.open(tmp_path / name, warehouse, replicas=1, managers=False) as again:
            assert again.execute(Take("s0")).events == (Taken("s0"),)
            assert stock_of(again) == [10, 9]
            with pytest.raises(EventsRemoved):
                again.stream("stock-s0")
    capsys.readouterr()
    through = ["--through", "tests.system.test_archives:unchanged"]
    assert run("copy", system.path, tmp_path / "copied", *through) == 1
    assert "events of stream 'stock-s0' were removed with their archive" in capsys.readouterr().err
    assert not (tmp_path / "copied").exists()


@pytest.mark.parametrize("keep", [None, 1])
def test_a_store_restored_to_a_point_between_backups_has_what_was_kept_and_closed_by_then(
    system: System, tmp_path: Path, keep: int | None
) -> None:
    """The notes of the backup before the point do not have it yet, or there is none."""
    archived(system, before_snapshot=True, category="stock")
    system.backup(tmp_path / "backups")
    system.remove_archive(1, lose="all", **WHO)
    system.close_streams("order-o5", **WHO)
    position = system.position
    system.execute(Take("s0"))
    system.close_streams("order-o4", **WHO)
    system.backup(tmp_path / "backups", full=True, keep=keep)
    restore(tmp_path / "backups", tmp_path / "restored", position=position)
    with System.open(tmp_path / "restored", warehouse, replicas=1, managers=False) as again:
        assert stock_of(again) == [9, 9]
        assert [one.stream for one in again.closed_streams()] == [*DONE, "order-o5"]


def stock_of(system: System) -> list[int]:
    """What was taken of two products, as the writer's states say."""
    return [system.execute(CountTaken(sku)).events[0].count for sku in ("s0", "s1")]


def accounts(release: int) -> Any:
    """A name in a state that is no personal field; in the second release the state has one more field."""
    domain = Domain("accounts")
    if release == 1:

        @domain.state(stream="account-{member}", snapshot_every=2)
        class Account:
            member: str
            name: str

    else:

        @domain.state(stream="account-{member}", snapshot_every=2)
        class Account:
            member: str
            name: str
            limit: int = 7

    @domain.event(Account)
    class Named:
        member: str
        name: Name

    @domain.command(Account)
    class Rename:
        member: str
        name: Name

    @domain.decide(Rename, state=Account | None)
    def rename(state: Any, command: Any) -> Any:
        before = "" if state is None else f"{state.name} {getattr(state, 'limit', '')} "
        return Named(command.member, f"{before}{command.name}")

    @domain.evolve(Named, state=Account | None)
    def named(_state: Any, event: Any) -> Any:
        return Account(event.member, event.name)

    vars(domain).update(Rename=Rename)
    return domain


def test_a_kept_state_is_read_by_the_next_release_and_deleted_with_who_is_forgotten(
    store_path: Path, tmp_path: Path
) -> None:
    key = tmp_path / "master.key"
    assert run("keys", "new", key) == 0
    first, second = accounts(1), accounts(2)
    with System.open(store_path, first, replicas=1, master_key=key) as system:
        for name in ("a", "b"):
            system.execute(first.Rename("ann", name))
        archived(system, before_snapshot=True)
        system.remove_archive(1, lose="all", **WHO)
    with System.open(store_path, second, replicas=1, master_key=key) as system:
        assert system.execute(second.Rename("ann", "c")).events[0].name == "a  b 7 c"
        system.execute(second.Rename("bob", "d"))
        system.forget("bob")
        system.kill("command-handler")
        assert system.execute(second.Rename("ann", "c")).events[0].name == "a  b 7 c 7 c"
        system.forget("ann")
        assert inside.notes(system, b"kept/") == []
        with pytest.raises(EventsRemoved, match="account-ann"):
            system.execute(second.Rename("ann", "d"))


@pytest.mark.parametrize("removed", [False, True])
def test_a_backup_has_closed_streams_and_archives(system: System, tmp_path: Path, removed: bool) -> None:
    done = archived(system)
    if removed:
        system.remove_archive(1, lose="all", **WHO)
    system.backup(tmp_path / "backups")
    before = read_back(system) if not removed else None
    system.close()
    restore(tmp_path / "backups", tmp_path / "restored")
    with System.open(tmp_path / "restored", warehouse, replicas=2, managers=True) as restored:
        restored.wait_applied()
        restored.wait_process_managers()
        assert [one.stream for one in restored.closed_streams()] == DONE
        [archive] = restored.archives()
        assert (archive.events, archive.digest, archive.state) == (
            9,
            done.digest,
            "removed" if removed else "archived",
        )
        if not removed:
            assert read_back(restored) == before
        assert restored.verify_log().findings == []
        assert restored.health().status == "ok"


# -- the command line ----------------------------------------------------------------------------------------
def run(*arguments: object) -> int:
    return main([*map(str, arguments)])


def test_the_commands_plan_archive_list_and_remove(
    store_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with System.open(store_path, warehouse, replicas=1) as system:
        fill(system)
        system.wait_process_managers()
        system.close_streams(DONE, **WHO)
        assert run("archive", store_path, *DOMAIN, "--apply", "--who", "ann", "--why", "old") == 1
        assert "StoreLocked" in capsys.readouterr().err
    assert run("archive", store_path, *DOMAIN) == 0
    out = capsys.readouterr().out
    assert out.startswith("9 events (")
    for wrong in (["--category", "order-o0"], ["--category", "order", "--streams", "order-o0"]):
        assert run("archive", store_path, *DOMAIN, *wrong) == 2
        assert capsys.readouterr().err.startswith("--category takes what is before the first hyphen")
    assert " of 3 streams (3 closed), at positions 1 to 15; 27 events stay in the log\n" in out
    (tmp_path / "names").write_text("order-o1\norder-o4\n")
    assert run("archive", store_path, *DOMAIN, "--from", tmp_path / "names", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["events"], plan["left_out"]) == (3, {"it is open": 1})
    assert plan["examples"] == [{"stream": "order-o4", "why": "it is open"}]
    assert run("archive", store_path, *DOMAIN, "--apply") == 2
    assert run("archives", store_path) == 0
    assert capsys.readouterr().out == ""
    who = ["--who", "ann", "--why", "old"]
    assert run("archive", store_path, *DOMAIN, "--apply", *who) == 0
    assert "archive 1 has 9 events, in " in capsys.readouterr().out
    assert run("archive", store_path, *DOMAIN, "--apply", *who) == 1
    assert "nothing to archive" in capsys.readouterr().err
    assert run("archives", store_path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["archive"]["events"] == 9
    assert run("archives", "remove", store_path, 1, *DOMAIN) == 0
    out = capsys.readouterr().out
    assert "model:sales  9 events: it can't be filled from all its events any more\n" in out
    remove = ["archives", "remove", store_path, 1, *DOMAIN, "--apply", *who]
    assert run(*remove) == 1
    told = capsys.readouterr().err
    assert told.startswith("WouldLose: archive 1 was not removed, since its events would be lost to ")
    assert told.endswith("add to --lose: manager:taking model:sales; or keep the archive\n")
    assert run(*remove, "--lose", "model:sales", "manager:taking") == 0
    assert capsys.readouterr().out == "archive 1 is removed, and 9 events with it\n"
    assert run("archives", store_path) == 0
    assert "; removed 2" in capsys.readouterr().out
    assert run("archives", "remove", store_path, 1, *DOMAIN, "--json") == 1


def test_commands_find_archives_that_are_elsewhere(
    store_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with System.open(store_path, warehouse, replicas=1) as system:
        fill(system)
        system.close_streams(DONE, **WHO)
        system.wait_process_managers()
        archived(system)
    os.rename(store_path / "archives", tmp_path / "disk")
    elsewhere = ["--archives-path", tmp_path / "disk"]
    through = ["--through", "tests.system.test_archives:unchanged"]
    for command, wrong in (
        (["archives", store_path], 1),
        (["archive", store_path, *DOMAIN], 0),
        (["backup", store_path, tmp_path / "backups"], 1),
        (["export", store_path, tmp_path / "lines"], 1),
        (["verify", store_path], 1),
        (["verify", store_path, "--deep", *DOMAIN], 1),
        (["correct", store_path, *DOMAIN, *through, "--dry-run"], 1),
        (["rebuild", "sales", "--store", store_path, *DOMAIN], 1),
    ):
        assert run(*command) == wrong, command
        told = capsys.readouterr()
        assert ("00000001.archive is missing" in told.out + told.err) == bool(wrong), command
        assert run(*command, *elsewhere) == 0, (command, capsys.readouterr().err)
    remove = ["archives", "remove", store_path, 1, *DOMAIN]
    assert run(*remove) == run(*remove, *elsewhere) == 0
    lost, there = capsys.readouterr().out.split("archive 1 has ")[1:]
    assert lost.startswith("9 events (of unknown types) ")
    assert "file:1" in lost
    assert "is missing" in lost
    assert there.startswith("9 events (9 Ordered) ")
    assert "file:1" not in there
    os.symlink(tmp_path / "disk", store_path / "archives")
    assert run("verify", store_path) == 0


def test_an_archive_that_has_begun_is_finished_by_the_same_command(
    store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with System.open(store_path, warehouse, replicas=1) as system:
        fill(system)
        system.close_streams(DONE, **WHO)
        system.wait_process_managers()
        plan = system.plan_archive()
    siblings = [REPLICAS, MARKS_FILE, IDENTITY_FILE]
    with EventLog.open(store_path, Codec(), create=False, siblings=siblings) as log:
        begun = log.begin_archive(plan._positions, time_us=1, **WHO)
        log.move_to_archive(begun.number, 4)
    assert run("archive", store_path, *DOMAIN, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["events"], shown["stays"]) == (5, plan.stays), "what was not moved yet"
    assert run("archive", store_path, *DOMAIN, "--apply", "--who", "ann", "--why", "old") == 0
    told = capsys.readouterr()
    assert told.out.startswith("archive 1 has 9 events, in ")
    assert f"{plan.stays} events stay in the log" in told.out
    assert run("archives", store_path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["archive"]["state"] == "archived"


def test_verifying_tells_a_damaged_archive_from_a_damaged_log(
    store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with System.open(store_path, warehouse, replicas=2) as system:
        fill(system)
        system.close_streams(DONE, **WHO)
        system.wait_process_managers()
        file = Path(archived(system).file)
        system.wait_applied()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert run("verify", store_path, "--deep", *DOMAIN, "--json") == 1
    told = capsys.readouterr()
    log, *replicas = map(json.loads, told.out.splitlines())
    assert f"the archive {file} is damaged" in log["findings"][0]
    assert log["advice"].startswith("the log itself is sound: put the file of each archive back")
    assert replicas
    assert all(one["sound"] and one["rows"] is not None for one in replicas), "with their digests"
    assert told.err.count("\n") == 1
    assert "--deep compared nothing" in told.err


def unchanged(_recorded: object) -> None:
    """Corrects nothing."""


def test_rows_are_not_compared_with_a_log_that_lacks_removed_events(
    store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with System.open(store_path, warehouse, replicas=1) as system:
        fill(system)
        system.close_streams(DONE, **WHO)
        system.wait_process_managers()
        archived(system)
        system.remove_archive(1, lose="all", **WHO)
    assert run("verify", store_path, "--deep", *DOMAIN) == 0
    out = capsys.readouterr().out
    assert "9 events were removed with their archives" in out
    assert "its rows were not compared with the log, which lacks the events of removed archives: 1" in out


def test_a_missing_file_ends_the_list_with_1(store_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with System.open(store_path, warehouse, replicas=1) as system:
        fill(system)
        os.remove(archived(system, closed=False).file)
    assert run("archives", store_path) == 1
    assert "00000001.archive is missing" in capsys.readouterr().err
    assert run("archives", store_path, "--archives-path", store_path) == 1
    assert run("archives", "nothing") == 2
