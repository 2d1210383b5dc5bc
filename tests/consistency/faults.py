"""Each promise broken on purpose, one way or another: what a checker that is worth its name has to find.

Each fault replaces one small part of the product, or what a projection does, by something that is wrong in a
way that a real fault could be. `pace` counts operations, for those that have to last until somebody notices.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import actors.queries.query_dispatcher
from actors import Session
from actors.queries.query_job import QueryJob
from actors.replication.progress import Progress
from actors.replication.projector import Projector
from actors.writer.command_handler import CommandHandler
from actors.writer.submission import Submission
from storage import ReplicaStore, Snapshot
from tests.consistency import registers
from tests.consistency.recorder import Pace

__all__ = ["FAULTS", "Fault"]

Fault = Callable[[pytest.MonkeyPatch, Pace], None]

MOMENT = 0.05
"""Seconds that a fault waits at most for somebody to notice it."""


# -- levels that are not kept to -----------------------------------------------------------------------------
def _without(option: str, kind: type | None = None) -> Fault:
    def install(monkeypatch: pytest.MonkeyPatch, pace: Pace) -> None:
        target_position = actors.queries.query_dispatcher.target_position

        def forgetful(progress: Progress, *given: Any, **level: Any) -> int:
            if kind is None or type(level.get(option)) is kind:
                level.pop(option, None)
            return target_position(progress, *given, **level)

        monkeypatch.setattr(actors.queries.query_dispatcher, "target_position", forgetful)

    return install


def _off_by_ten(monkeypatch: pytest.MonkeyPatch, pace: Pace) -> None:
    target_position = actors.queries.query_dispatcher.target_position
    monkeypatch.setattr(
        actors.queries.query_dispatcher,
        "target_position",
        lambda *given, **level: max(target_position(*given, **level) - 10, 0),
    )


def _forgets_writes(monkeypatch: pytest.MonkeyPatch, pace: Pace) -> None:
    monkeypatch.setattr(
        Session, "execute", lambda self, command, **options: self._commands.execute(command, **options)
    )


def _forgets_reads(monkeypatch: pytest.MonkeyPatch, pace: Pace) -> None:
    query = Session.query

    def forgetful(self: Session, asked: Any, **options: Any) -> Any:
        before = self.position
        answer = query(self, asked, **options)
        self._seen.value = before
        return answer

    monkeypatch.setattr(Session, "query", forgetful)


# -- replicas that say what is not so ------------------------------------------------------------------------
def _all_are_fresh(monkeypatch: pytest.MonkeyPatch, pace: Pace) -> None:
    monkeypatch.setattr(Progress, "fresh", lambda self, models, position: list(self.replicas))
    _believed(monkeypatch)


def _ahead_of_itself(monkeypatch: pytest.MonkeyPatch, pace: Pace) -> None:
    applied = Progress.applied

    def boast(self: Progress, replica: str, checkpoints: Any) -> None:
        applied(self, replica, [(model, position + 10) for model, position in checkpoints])

    monkeypatch.setattr(Progress, "applied", boast)
    _believed(monkeypatch)


def _believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at the snapshot itself."""
    monkeypatch.setattr(QueryJob, "unfit", lambda self, floor: False)


def _two_snapshots(monkeypatch: pytest.MonkeyPatch, pace: Pace) -> None:
    take, table, close = ReplicaStore.snapshot, Snapshot.table, Snapshot.close
    earlier: dict[int, Snapshot] = {}

    def taken_twice(self: ReplicaStore, models: Any = None, **options: Any) -> Snapshot:
        if models is None or len(set(models)) < 2:
            return take(self, models, **options)
        first = take(self, models, **options)
        pace.wait_for(3, MOMENT)
        second = take(self, models, **options)
        earlier[id(second)] = first
        return second

    def from_either(self: Snapshot, model: str, schema: Any) -> Any:
        return table(earlier.get(id(self), self) if model == "mirror" else self, model, schema)

    def close_both(self: Snapshot) -> None:
        close(self)
        if (first := earlier.pop(id(self), None)) is not None:
            close(first)

    monkeypatch.setattr(ReplicaStore, "snapshot", taken_twice)
    monkeypatch.setattr(Snapshot, "table", from_either)
    monkeypatch.setattr(Snapshot, "close", close_both)


# -- events that are not applied once and in order -----------------------------------------------------------
def _loses_an_event(monkeypatch: pytest.MonkeyPatch, pace: Pace) -> None:
    set_register = registers.set_register

    def lossy(table: Any, name: str, value: int) -> None:
        if value % 10:
            set_register(table, name, value)

    monkeypatch.setattr(registers, "set_register", lossy)


def _out_of_order(monkeypatch: pytest.MonkeyPatch, pace: Pace) -> None:
    set_register = registers.set_register
    # Each replica applies in a thread of its own.
    kept: dict[tuple[int, str], int] = {}

    def swapping(table: Any, name: str, value: int) -> None:
        key = threading.get_ident(), name
        late = kept.pop(key, None)
        if late is None and value % 5 == 0:
            kept[key] = value
            return
        set_register(table, name, value)
        if late is not None:
            set_register(table, name, late)

    monkeypatch.setattr(registers, "set_register", swapping)


def _twice(monkeypatch: pytest.MonkeyPatch, pace: Pace) -> None:
    add_amount = registers.add_amount

    def doubling(table: Any, owner: str, amount: int) -> None:
        add_amount(table, owner, amount)
        if amount % 10 == 0:
            add_amount(table, owner, amount)

    monkeypatch.setattr(registers, "add_amount", doubling)


def _one_by_one(monkeypatch: pytest.MonkeyPatch, pace: Pace) -> None:
    apply = Projector.apply

    def piecemeal(self: Projector, events: Sequence[Any], runs: Any = None, _changes: Any = ()) -> Any:
        stopped: list[Any] = []
        for event in events:
            stopped += apply(self, [event], runs)
            pace.wait_for(1, MOMENT / 10)
        return stopped

    monkeypatch.setattr(Projector, "apply", piecemeal)


# -- a writer in too much of a hurry -------------------------------------------------------------------------
def _replies_early(monkeypatch: pytest.MonkeyPatch, pace: Pace) -> None:
    decide = CommandHandler._decide

    def hasty(self: CommandHandler, batch: Sequence[Any]) -> Any:
        overlay, decided, taken = decide(self, batch)  # type: ignore[arg-type]
        for request in decided:
            if isinstance(request, Submission):
                request.settle(request.outcome)  # type: ignore[arg-type]
        pace.wait_for(3, MOMENT)
        return overlay, decided, taken

    monkeypatch.setattr(CommandHandler, "_decide", hasty)


FAULTS: dict[str, tuple[Fault, set[str]]] = {
    "strong asks for nothing": (_without("consistency"), {"strong", "linearizable"}),
    "after is not looked at": (_without("after"), {"after", "read your writes", "monotonic reads"}),
    "max_lag in positions is not looked at": (_without("max_lag", int), {"max_lag in positions"}),
    "max_lag in seconds is not looked at": (_without("max_lag", float), {"max_lag in seconds"}),
    "every level asks for ten positions too few": (_off_by_ten, {"strong", "after"}),
    "a session forgets what it wrote": (_forgets_writes, {"read your writes"}),
    "a session forgets what it saw": (_forgets_reads, {"monotonic reads"}),
    "every replica counts as fresh": (_all_are_fresh, {"strong", "linearizable", "after"}),
    "replicas say that they are further than they are": (
        _ahead_of_itself,
        {"strong", "linearizable", "after"},
    ),
    "two models are read from two snapshots": (_two_snapshots, {"one snapshot", "sums"}),
    "an event is lost": (_loses_an_event, {"strong", "linearizable", "position told"}),
    "two events change places": (_out_of_order, {"strong", "linearizable", "position told"}),
    "an event is applied twice": (_twice, {"committed only"}),
    "events are applied one by one": (_one_by_one, {"whole commands"}),
    "replies come before the commit": (_replies_early, {"strong", "linearizable"}),
}
"""By name: how to install the fault, and the promises that the checker must find broken."""
