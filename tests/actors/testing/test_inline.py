"""Deciders that read inline tables, in the given/when/then kit: no store, no threads."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from actors import DeciderFailed, Domain, Reader, Rejected
from actors.testing import given, happened
from tests.system.club import (
    SEATS,
    Break,
    Join,
    Joined,
    Leave,
    Left,
    Rename,
    Renamed,
    Seated,
    Sit,
    club,
    names,
)


def test_a_decider_reads_what_inline_models_made_of_the_events() -> None:
    given(club, Joined("1", "ann")).when(Join("2", "ann")).rejected("name.taken", by="1")
    given(club, Joined("1", "ann"), Left("1", "ann")).when(Join("2", "ann")).then(Joined("2", "ann"))
    given(club, Joined("1", "ann")).when(Rename("1", "bob")).then(Renamed("1", "bob"))


def test_what_follows_is_decided_on_what_the_command_before_it_did() -> None:
    after = given(club, Joined("1", "ann")).when(Rename("1", "bob")).then(Renamed("1", "bob"))
    after.when(Join("2", "bob")).rejected("name.taken")
    after.when(Join("2", "ann")).then(Joined("2", "ann")).when(Join("3", "ann")).rejected("name.taken")
    after.when(Leave("1")).then(Left("1", "bob"))
    after.then_rows(names, [{"name": "bob", "id": "1", "letters": ["b", "o"]}])


def test_a_projection_that_rejects_or_fails_is_the_outcome() -> None:
    full = given(club, [Seated(f"{number}", "bar") for number in range(SEATS)])
    full.when(Sit("x", "bar")).rejected("room.full", room="bar")
    full.when(Sit("1", "bar")).then(Seated("1", "bar"))
    full.when(Break("1", "raise")).raised(DeciderFailed)


def test_an_event_that_an_inline_model_refuses_can_not_have_happened() -> None:
    with pytest.raises(Rejected, match="bar is full"):
        given(club, [Seated(f"{number}", "bar") for number in range(SEATS + 1)])


def test_projections_see_the_time_that_an_event_was_given() -> None:
    diary = Domain("diary")

    @diary.state(stream="day-{day}")
    class Day:
        day: str

    @diary.event(Day, state=None)
    class Written:
        day: str

    @diary.command(Day)
    class Write:
        day: str

    pages = diary.read_model("pages", inline=True)
    entries = pages.table("entries", key="day", indexes=["time"])

    @pages.on(Written)
    def on_written(event, tables, recorded):
        tables[entries].put({"day": event.day, "time": recorded.time})

    @diary.decide(Write)
    def write(day: Day | None, command, read: Reader):
        for row in read[entries].range("time", reverse=True, limit=1):
            raise Rejected(f"written {row['time']:%Y}", code="written")
        yield Written(command.day)

    noon = datetime(2020, 5, 1, 12, tzinfo=UTC)
    given(diary, happened(Written("a"), time=noon)).when(Write("b")).rejected("written")
    outcome = given(diary, happened(Written("a"), time=noon)).when(Write("b"))
    assert "written 2020" in str(outcome.error)
    given(diary).when(Write("b")).then(Written("b"))
