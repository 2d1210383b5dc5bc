"""What is done to a row that was read is seen by nobody, and rows are the same live and rebuilt, wherever
batches end.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from actors import Domain, Rejected, System
from tests.helpers import PATIENCE
from tests.oracle.value_forms import shown_exactly, spoil

papers = Domain("papers")
BERLIN = ZoneInfo("Europe/Berlin")


@papers.value
class Note:
    marks: list[str]


@papers.state(stream="paper-{paper}")
class Paper:
    paper: int


@papers.event(Paper)
class Marked:
    paper: int


@papers.command(Paper)
class Mark:
    paper: int
    refused: bool


rule = papers.read_model("rule", inline=True)
notes = rule.table("notes", key="paper", indexes=["paper"])


@rule.on
def on_first(event: Marked, tables: Any) -> None:
    if tables[notes].get(event.paper) is None:
        tables[notes].put({"paper": event.paper, "note": Note([]), "raw": bytearray(b"x"), "at": {"all": []}})
    else:
        spoil(tables[notes].get(event.paper))


@papers.decide
def mark(paper: Paper | None, command: Mark, read: Any) -> Any:
    table = read[notes]
    rows = [table.get(command.paper), *table.get_many([command.paper]), *table.find("paper", command.paper)]
    for row in rows:
        if row is not None:
            seen = len(row["note"].marks) + len(row["raw"]) + len(row["at"])
            row["note"].marks.append("tried")
            spoil(row)
            if seen != 2:
                raise Rejected("what a neighbour did is seen", code="left")
    if command.refused:
        raise Rejected("no", code="no")
    yield Marked(command.paper)


@papers.evolve
def marked(paper: Paper | None, event: Marked) -> Paper:
    return Paper(event.paper)


diary = papers.read_model("diary")
days = diary.table("days", key="paper")


@diary.on
def on_marked(event: Marked, tables: Any) -> None:
    row = tables[days].get(event.paper)
    if row is None:
        at = datetime(2026, 3, 28, 12, tzinfo=UTC).astimezone(BERLIN)
        tables[days].put(
            {"paper": event.paper, "at": at, "raw": bytearray(b"x"), "note": Note([]), "seen": []}
        )
        return
    row["note"].marks.append("put by nobody")
    spoil(row["raw"])
    seen = [
        *row["seen"],
        [row["at"].isoformat(), type(row["raw"]).__name__, row["raw"], len(row["note"].marks)],
    ]
    tables[days].update(event.paper, at=row["at"] + timedelta(days=1), seen=seen)


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_an_answer_does_not_depend_on_what_refused_neighbours_did_to_their_rows(
    store_path: Path, size: int
) -> None:
    refusals = [False, True, False, True, True, False]
    with System.open(store_path, papers, replicas=1) as system:
        outcomes: list[Any] = []
        for start in range(0, len(refusals), size):
            lot = [Mark(1, refused) for refused in refusals[start : start + size]]
            outcomes += system.execute_many(lot, return_exceptions=True)
            system.wait_applied()
        codes = [getattr(one, "code", "done") for one in outcomes]
        assert codes == ["no" if refused else "done" for refused in refusals]
        live = shown_exactly(system.dump("replica-1", diary))
        system.rebuild(diary, wait=True, timeout=PATIENCE)
        assert shown_exactly(system.dump("replica-1", diary)) == live
        (row,) = system.dump("replica-1", diary)["days"]
        assert row["seen"] == [
            ["2026-03-28T13:00:00+01:00", "bytes", b"x", 1],
            ["2026-03-29T13:00:00+01:00", "bytes", b"x", 1],
        ]
        with system.view(rule) as view:
            assert view[notes].get(1) == {"paper": 1, "note": Note([]), "raw": b"x", "at": {"all": []}}
