"""The benchmark of what replicas cost: a small run has every figure, and each figure says what it is to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors import System
from benchmarks.aims import AIMS
from benchmarks.growth.biglog import write_log
from benchmarks.replicas import measure, threads
from benchmarks.replicas.__main__ import main
from benchmarks.replicas.bank import Deposit, Open, bank, expected, facts, ledger
from benchmarks.replicas.measure import SETUPS, Peak, catching_up, folder_in_memory, peak_of_load
from benchmarks.replicas.section import Found, section_of
from benchmarks.replicas.sending import WAYS, OpenBank, Used
from benchmarks.replicas.threads import (
    CALLER,
    FOLLOWERS,
    HANDLER,
    LEADER,
    SYNC,
    Threads,
    Use,
    countable,
    grouped,
    use_of,
    uses,
)

LINUX = Path("/proc/self/status").exists() and countable()
NOBODY_SAYS = "this system does not say what a process and its threads use"
WANTED = {key for aim in AIMS for key in aim.candidates.values() if key.startswith("replicas/")}


def test_a_small_run_has_a_figure_for_every_aim_and_a_line_for_every_way_of_running(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--rounds", "1", "--commands", "20", "--events", "300", "--seconds", "0.1"]
    out = tmp_path / "out"
    assert main(["--quick", *sizes, "--dir", str(tmp_path), "--out", str(out)]) == 0
    figures = json.loads((out / "replicas.json").read_text())["figures"]
    page = capsys.readouterr().out
    assert len(WANTED) == 6
    for key in WANTED if LINUX else WANTED - {"replicas/memory/peak_ratio"}:
        assert figures[key] > 0, key
    for key, setup in SETUPS.items():
        assert f"| {setup.name} |" in page
        assert all(figures[f"replicas/rates/{key}/{way}_per_second"] > 0 for way in WAYS)
    for number in (1, 3):
        assert figures[f"replicas/memory/{number}/commands_per_second"] > 0
    if LINUX:
        assert figures["replicas/threads/looping/command-handler/wakes"] > 0
        assert figures["replicas/threads/looping/replica_that_leads/cpu_seconds"] > 0
    assert not list(tmp_path.glob(".bench-*"))


def test_the_long_log_is_what_commands_would_have_made(tmp_path: Path) -> None:
    total = 12
    with System.open(tmp_path / "executed", bank, replicas=1) as system:
        for stream, version, event, name in facts(total):
            command: Any = Deposit(event.number, event.amount) if name == "Deposit" else None
            receipt = system.execute(command or Open(event.number, event.owner))
            assert (receipt.stream, receipt.version) == (stream, version)
        system.wait_applied()
        rows = system.dump(system.replica_names[0], ledger)["accounts"]
    assert write_log(tmp_path / "written", bank, facts(total)) == total
    with System.open(tmp_path / "written", bank, replicas=1) as system:
        system.wait_applied()
        assert system.dump(system.replica_names[0], ledger)["accounts"] == rows
    assert (len(rows), sum(row["balance"] for row in rows)) == expected(total)


def test_a_replica_that_caught_up_with_something_else_has_no_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "expected", lambda total: (0, total))
    with pytest.raises(RuntimeError, match="replica-1 caught up with 10 events, and its table is wrong"):
        catching_up(tmp_path, 1, 10, lambda _: None)


def test_a_command_that_writes_nothing_has_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WAYS, "nothing", (lambda _system, _commands: None, 1.0))
    one = OpenBank(tmp_path / "bank", 1)
    try:
        with pytest.raises(RuntimeError, match="3 commands were sent, 0 events are in the log"):
            one.send("nothing", 3)
    finally:
        one.close()


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "bank").write_text("no store")
    with pytest.raises(RuntimeError, match=r"(?s)a bank of 2 replicas failed: .*is a file"):
        peak_of_load(tmp_path / "bank", 2, 10.0, 0.1)


def test_processor_time_is_measured_in_memory_where_there_is_room(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    with folder_in_memory(tmp_path, memory) as found:
        assert found.parent == tmp_path
    memory.mkdir()
    with folder_in_memory(tmp_path, memory, room=1) as found:
        assert found.parent == memory
    with folder_in_memory(tmp_path, memory, room=1 << 62) as found:
        assert found.parent == tmp_path


def rounds(*seconds: float) -> dict[int, Used]:
    return {number: Used(one, one * 2) for number, one in enumerate(seconds)}


def test_a_ratio_is_that_of_a_round_and_missing_memory_has_none() -> None:
    one, three = rounds(0.001, 0.01, 0.002), rounds(0.002, 0.01, 0.003)
    found = section_of(
        Found(
            events=1_000,
            seconds=2.0,
            in_memory=False,
            processor={way: {1: one, 3: three} for way in WAYS},
            catching_up={1: one, 3: three},
            memory={1: Peak({}, {0: 99.0}), 3: Peak({}, {0: 98.0})},
            rates={key: {way: {0: 10.0} for way in WAYS} for key in SETUPS},
            threads=None,
        )
    )
    assert found.rows[0] == (
        "execute, us of processor time",
        "2000.0",
        "3000.0",
        "1.50 (1.00 to 2.00)",
    )
    assert found.rows[-1] == ("most memory, MiB", "-", "-", "not measured")
    assert WANTED - set(found.figures) == {"replicas/memory/peak_ratio"}
    assert found.figures["replicas/catching_up/3/wall_seconds"] == pytest.approx(0.006)
    assert "since /dev/shm is not there or has no room" in found.text
    assert [one.title for one in found.subsections] == ["Commands a second, applied"]


def test_the_replica_that_works_most_leads_and_the_others_are_one_line() -> None:
    looping = {
        "replica-1": Use(1.0, 0.0, 0.1),
        "replica-2": Use(2.0, 1.0, 0.5),
        "replica-3": Use(3.0, 2.0, 0.3),
        "replica-1.query-1": Use(0.25),
        SYNC: Use(4.0),
        CALLER: Use(6.0),
        HANDLER: Use(5.0),
    }
    idle = {name: use.times(2) for name, use in looping.items() if name != "replica-1.query-1"}
    found = grouped(Threads(looping, idle))
    assert list(found.looping) == [CALLER, HANDLER, SYNC, LEADER, FOLLOWERS, "replica-1.query-1"]
    assert found.looping[LEADER] == looping["replica-2"]
    assert found.looping[FOLLOWERS] == Use(2.0, 1.0, 0.2)
    assert found.idle[LEADER] == Use(4.0, 2.0, 1.0)


def test_wake_ups_and_processor_time_are_read_as_linux_writes_them() -> None:
    status = "Name:\tpython\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t7\n"
    assert use_of(status, "2500000000 17 3\n") == Use(150, 7, 2.5)


def test_what_threads_do_anyhow_is_no_part_of_a_single_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Before and after a time without a command, then before and after one with a command; twice.
    script = iter([0, 3, 3, 10, 10, 14, 14, 25])
    monkeypatch.setattr(threads, "SETTLED", 0.0)
    monkeypatch.setattr(threads, "uses", lambda: {SYNC: Use(next(script))})
    one = OpenBank(tmp_path / "bank", 1)
    try:
        before = one.system.position
        assert threads.when_idle(one, 2) == {SYNC: Use(((7 - 3) + (11 - 4)) / 2)}
        assert one.system.position == before + 2
    finally:
        one.close()


@pytest.mark.skipif(not LINUX, reason=NOBODY_SAYS)
def test_every_actor_is_counted_under_its_name(tmp_path: Path) -> None:
    one = OpenBank(tmp_path / "bank", 3)
    try:
        names = set(uses())
    finally:
        one.close()
    assert {CALLER, HANDLER, SYNC, "replica-1", "replica-2", "replica-3", "replica-3.query-1"} <= names
