"""Warnings before a map or a disk is full: they come in time, say what to do, and do not flicker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors import System
from actors.runtime import room_watch
from actors.runtime.room_forecast import Alarm, GrowthRate, Urgency
from actors.runtime.room_watch import RoomWatch
from storage.files.amounts import size_text, span_text
from storage.files.disk_space import DiskSpace
from tests import inside
from tests.bank_domain import Deposit, Open, bank

GIB = 1 << 30


def test_an_alarm_rises_at_once_and_falls_with_a_margin() -> None:
    alarm = Alarm(0.8, 0.95, 0.1)
    said = [alarm.update(value) for value in (0.79, 0.8, 0.79, 0.73, 0.96, 0.9, 0.8, 0.75, 0.71, 0.79, 0.8)]
    soon, urgent, none = Urgency.SOON, Urgency.URGENT, Urgency.NONE
    assert said == [none, soon, soon, soon, urgent, urgent, soon, soon, none, none, soon]


def test_growth_is_measured_over_a_window_that_moves() -> None:
    growth = GrowthRate(window=600, least=60, every=10)
    assert growth.per_second() is None
    growth.add(0, 1000)
    growth.add(30, 2000)
    assert growth.per_second() is None
    growth.add(100, 6000)
    assert growth.per_second() == 50
    for now in range(110, 1000, 10):
        growth.add(now, 6000)
    assert growth.per_second() == 0
    growth.add(1000, 3000)
    assert growth.per_second() == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (size_text(0), "0 bytes"),
        (size_text(1023), "1023 bytes"),
        (size_text(4096), "4.0 KiB"),
        (size_text((1 << 40) - 1), "1.0 TiB"),
        (span_text(0), "0 seconds"),
        (span_text(1), "1 second"),
        (span_text(150), "2 minutes"),
        (span_text(86_400), "24 hours"),
        (span_text(400 * 86_400), "400 days"),
    ],
)
def test_amounts_are_written_as_people_read_them(text: str, said: str) -> None:
    assert text == said


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A watch of a log of its own whose disk and size are as the test says."""

    class Watched:
        size, space = 0, DiskSpace(100 * GIB, 50 * GIB)

        def __init__(self) -> None:
            self.watch = RoomWatch(tmp_path, None, {"log": self}, 0.8, 86_400.0)  # type: ignore[dict-item]
            self.path = tmp_path
            self.now = 0.0

        def usage(self) -> Any:
            return type("Usage", (), {"map_bytes": 1 << 40, "used_bytes": 0})

        def after(self, seconds: float, grown: int) -> tuple[list[str], list[str]]:
            """Warnings and problems once so much time has passed and the file has grown."""
            with (tmp_path / "data.mdb").open("ab") as file:
                file.truncate(file.tell() + 1)
            self.now += seconds
            self.size += grown
            self.watch.look(self.now)
            return list(self.watch.warnings()), list(self.watch.problems())

    made = Watched()

    class Stat:
        def __init__(self, _path: Any) -> None:
            self.st_size, self.st_dev, self.st_blocks = made.size, 1, made.size // 512

    monkeypatch.setattr(room_watch.os, "stat", Stat)
    monkeypatch.setattr(room_watch.DiskSpace, "at", lambda _path: made.space)
    return made


def test_a_disk_is_reported_by_how_long_it_lasts_at_the_pace_of_late(watched: Any) -> None:
    assert watched.after(10, GIB) == ([], [])
    # A GiB an hour: 50 hours.
    for _ in range(6):
        assert watched.after(600, GIB // 6) == ([], [])
    watched.space = DiskSpace(100 * GIB, 20 * GIB)
    [warning], problems = watched.after(600, GIB // 6)
    assert problems == []
    assert "20.0 GiB of 100.0 GiB free" in warning
    assert "grew by 1.0 GiB an hour lately, which fills it in 20 hours: make room there" in warning
    # 26 hours: within the margin.
    watched.space = DiskSpace(100 * GIB, 26 * GIB)
    assert len(watched.after(600, GIB // 6)[0]) == 1
    watched.space = DiskSpace(100 * GIB, 60 * GIB)
    assert watched.after(600, GIB // 6) == ([], [])
    watched.space = DiskSpace(100 * GIB, GIB // 2)
    warnings, [problem] = watched.after(600, GIB // 6)
    assert warnings == []
    assert "fills it in 30 minutes" in problem


def test_a_disk_with_next_to_nothing_free_is_reported_at_any_pace(watched: Any) -> None:
    watched.space = DiskSpace(100 * GIB, 200 << 20)
    [warning], problems = watched.after(10, 0)
    assert problems == []
    assert warning.partition(": make room")[0].endswith("200.0 MiB of 100.0 GiB free")
    watched.space = DiskSpace(100 * GIB, 60 << 20)
    assert [len(found) for found in watched.after(10, 0)] == [0, 1]
    watched.space = DiskSpace(100 * GIB, GIB)
    assert watched.after(10, 0) == ([], [])
    # A small disk is small, and not full.
    watched.space = DiskSpace(8 << 20, 6 << 20)
    assert watched.after(10, 0) == ([], [])


def test_maps_that_will_be_full_are_warnings_of_health_and_nearly_full_ones_problems(
    store_path: Path,
) -> None:
    with System.open(store_path, bank, replicas=1, map_size=1 << 20, map_limit=0.3) as system:
        room = inside.maintenance(system)._parts.room

        def looked() -> tuple[list[str], list[str]]:
            room._looked = -1e9
            room.look(0.0)
            return list(room.warnings()), list(room.problems())

        assert looked() == ([], [])
        system.execute(Open("ann"))
        system.wait_applied()

        def write_until(share: float) -> None:
            log = inside.log(system)
            while log.usage().used_bytes < share * (1 << 20):
                system.execute_many(Deposit("ann", 1) for _ in range(100))

        write_until(0.35)
        [warning], problems = looked()
        assert problems == []
        assert warning.startswith(f"the log in {store_path} has used 3")
        assert "of 1.0 MiB" in warning
        assert warning.endswith("open the store with a larger map_size=")
        assert warning in system.health().warnings
        assert system.health().status == "ok"
        with pytest.raises(Exception, match="full"):
            write_until(0.99)
        room._maps["the log"][1]._limits[Urgency.URGENT] = 0.6
        _warnings, [problem] = looked()
        assert problem in system.health().problems


@pytest.mark.parametrize(
    "settings", [{"map_limit": 0}, {"map_limit": 1.1}, {"map_limit": True}, {"disk_limit": 0}]
)
def test_a_limit_that_is_none_is_refused(store_path: Path, settings: Any) -> None:
    [name] = settings
    with pytest.raises(ValueError, match=f"{name}="):
        System.open(store_path, bank, **settings)
