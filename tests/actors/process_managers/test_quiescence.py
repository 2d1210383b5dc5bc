"""Waiting for process managers looks at several things, one after the other, while a manager goes on."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition
from types import SimpleNamespace
from typing import Any

import pytest

from actors import ConsistencyTimeout
from actors.process_managers.quiescence import Quiescence
from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.status import Status
from actors.process_managers.status_board import StatusBoard

KEYS = RecordKeys("heart")
QUIET = Status(3, quiet_at=3, next_due=1_000)


class Log:
    """The notes of an outbox; `at_look` is called once, when a look at one kind of them is over."""

    def __init__(self) -> None:
        self.due: list[tuple[bytes, bytes]] = []
        self.at_look: dict[bytes, Callable[[], None]] = {}
        self.stored_head: Callable[[], int] = lambda: 3

    def notes(self, prefix: bytes, after: bytes = b"", limit: int = 1) -> list[tuple[bytes, bytes]]:
        found = self.due[:limit] if prefix == KEYS.due else []
        self.at_look.pop(prefix, lambda: None)()
        return found


class Managed:
    """One manager whose board and log a test changes between two looks."""

    def __init__(self) -> None:
        changed = Condition()
        self.board = StatusBoard(changed, None)  # type: ignore[arg-type]
        self.board.status = QUIET
        self.log = Log()
        self.progress = SimpleNamespace(head=3)
        self.log.stored_head = lambda: self.progress.head
        self.now_us = 10
        handle: Any = SimpleNamespace(spec=SimpleNamespace(name="heart"), board=self.board, keys=KEYS)
        made: Any = Quiescence(
            {"heart": handle},
            self.log,  # type: ignore[arg-type]
            self.progress,  # type: ignore[arg-type]
            SimpleNamespace(now_us=lambda: self.now_us),  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            lambda: (),
            SimpleNamespace(now=list),  # type: ignore[arg-type]
            changed,
        )
        self.wait = made.wait

    def fire(self) -> None:
        """A timer fires: its step puts an effect into the outbox."""
        self.board.mark_busy()
        self.log.due.append((KEYS.due + b"1", b""))
        self.board.publish(Status(3, quiet_at=3, next_due=2_000))

    def deliver(self) -> None:
        """The outbox delivers it."""
        self.log.due.clear()
        self.board.notify()


def test_a_timer_that_fires_between_two_looks_is_waited_for() -> None:
    managed = Managed()
    managed.now_us = 1_000  # it is due now
    delivered = []

    def fired() -> None:
        managed.fire()
        managed.log.at_look[KEYS.due] = deliver

    def deliver() -> None:
        delivered.append(1)
        managed.deliver()

    managed.log.at_look[KEYS.due] = fired
    managed.board.status = Status(3, quiet_at=3, next_due=1_001)
    assert managed.wait(10.0) == 3
    assert delivered


def test_what_is_not_quiet_any_more_after_a_look_is_no_timeout() -> None:
    managed = Managed()
    managed.log.at_look[KEYS.due] = lambda: setattr(managed.progress, "head", 4)
    managed.log.at_look[KEYS.rejections] = lambda: managed.board.publish(Status(4, quiet_at=4))
    assert managed.wait(10.0) == 4


def test_an_effect_that_stays_is_a_timeout() -> None:
    managed = Managed()
    managed.fire()
    with pytest.raises(ConsistencyTimeout, match=r"did not come to rest within 0\.01 s"):
        managed.wait(0.01)


def test_a_commit_that_is_on_disk_and_not_published_yet_is_waited_for() -> None:
    managed = Managed()
    looks = iter([4, 4])

    def stored_head() -> int:
        found = next(looks, 0)
        if not found:  # the writer publishes it, and the manager has nothing more to do
            managed.progress.head = 4
            managed.board.publish(Status(4, quiet_at=4))
        return 4

    managed.log.stored_head = stored_head
    assert managed.wait(10.0) == 4
