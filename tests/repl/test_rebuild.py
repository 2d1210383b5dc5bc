"""`:rebuild`, `:rebuilds`, `:skip` and `:skipped`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors import Domain, System
from tests.helpers import PATIENCE, wait_until
from tests.repl.conftest import Shown


class Notes:
    """A domain whose projection fails on `bad`, and waits at `gate` for the first event of a rebuild."""

    def __init__(self) -> None:
        self.domain = Domain("notes")
        self.gate = threading.Event()
        self.gate.set()
        domain = self.domain

        @domain.state(stream="note-{note}")
        class Note:
            note: str

        @domain.event(Note)
        class Written:
            note: str

        @domain.command(Note)
        class Write:
            note: str

        @domain.decide
        def write(state: Note | None, command: Write) -> Iterator[Written]:
            yield Written(command.note)

        @domain.evolve
        def written(state: Note | None, event: Written) -> Note:
            return Note(event.note)

        board = domain.read_model("board")
        rows = board.table("rows", key="note")

        @board.on
        def put(event: Written, tables: dict) -> None:
            assert self.gate.wait(PATIENCE)
            if event.note == "bad":
                raise ValueError("a bug with bad notes")
            tables[rows].put({"note": event.note})

        @domain.query(reads=[board])
        class CountNotes:
            def run(self, view: dict) -> int:
                return len(view[rows])

        self.write = Write


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def system(store_path: Path, notes: Notes) -> Iterator[System]:
    with System.open(store_path, notes.domain, replicas=2) as opened:
        yield opened
        notes.gate.set()


def test_a_model_is_rebuilt_and_the_queries_go_on(system: System, shown: Shown) -> None:
    output, errors = shown(system, "Write a\n:rebuild board\n:rebuilds\nCountNotes --strong\n")
    assert errors == ""
    assert "board is rebuilt, and every replica that has it serves the new tables: 1 events" in output
    assert output.splitlines()[-2:] == ["nothing is being rebuilt", "1 at position 1"]


def test_a_rebuild_in_the_background_shows_how_far_it_is(system: System, notes: Notes, shown: Shown) -> None:
    system.execute(notes.write("a"))
    system.wait_applied()
    notes.gate.clear()
    output, errors = shown(system, ":rebuild board --background\n:rebuilds\n")
    assert errors == ""
    lines = output.splitlines()
    assert lines[:2] == [
        "board is being rebuilt; :rebuilds shows how far it is",
        "2 rebuilds under way",
    ]
    assert [line.split()[:2] for line in lines[-2:]] == [["board", "replica-1"], ["board", "replica-2"]]
    assert {line.split()[-1] for line in lines[-2:]} <= {"building", "waiting"}
    notes.gate.set()
    wait_until(lambda: not system.rebuilds())


def test_a_stopped_model_passes_over_the_event_and_it_is_noted(
    system: System, notes: Notes, shown: Shown
) -> None:
    system.execute(notes.write("bad"))
    system.execute(notes.write("good"))
    wait_until(
        lambda: all(one.models[0].stopped_at == 1 for one in system.health().replicas),
    )
    output, errors = shown(system, ':skip board 1 "it was bad"\nCountNotes --strong\n:skipped\n')
    assert errors == ""
    assert output.startswith("board passes over the event at position 1;")
    assert "1 at position 2" in output
    assert output.splitlines()[-1].split()[:2] == ["board", "1"]
    assert output.splitlines()[-1].endswith("it was bad")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (":rebuild", "MODEL is missing: :rebuild MODEL [--background]"),
        (":rebuild bored", "there is no read model bored; did you mean board?; there are board"),
        (":rebuild board --backgrund", ":rebuild has no option --backgrund; did you mean background?"),
        (":skip board", "POSITION is missing: :skip MODEL POSITION [REASON]"),
        (":skip board one", "POSITION must be int"),
        (":skip board 7", "position 7 is not in the log, which ends at 1"),
        (":skip board 1", "model 'board' is not stopped at position 1"),
        (":unskip board", "POSITION is missing: :unskip MODEL POSITION"),
        (":unskip board 1", "there is no skipped event of model 'board', at position 1"),
        (":skipped board", "it is written :skipped"),
    ],
)
def test_what_can_not_be_mended_is_refused(
    system: System, notes: Notes, shown: Shown, line: str, error: str
) -> None:
    system.execute(notes.write("a"))
    output, errors = shown(system, f"{line}\n")
    assert error in errors
    assert output == ""


def test_where_nothing_was_passed_over_that_is_said(system: System, shown: Shown) -> None:
    assert shown(system, ":skipped\n:rebuilds\n")[0].splitlines() == [
        "no model passes over an event",
        "nothing is being rebuilt",
    ]
