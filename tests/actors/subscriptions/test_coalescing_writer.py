"""Saving: one write at a time, everything in the end, and errors to those who wait for them."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest

from actors.errors import Overloaded, SystemClosed
from actors.subscriptions.coalescing_writer import CoalescingWriter
from storage import StoreFull


class Disk:
    """What changes, and a writer whose writes end when the test says so."""

    def __init__(self) -> None:
        self.number = 0
        self.writes: list[tuple[int, Future[Any]]] = []
        self.saved: list[int] = []
        self.full = False
        self.writer = CoalescingWriter(
            lambda: (self.number, [(b"key", b"%d" % self.number)]), self.write, self.saved.append
        )

    def write(self, notes: Any) -> Future[Any]:
        if self.full:
            raise Overloaded("the mailbox is full")
        ((_, value),) = notes
        self.writes.append((int(value), Future()))
        return self.writes[-1][1]

    def change(self) -> int:
        self.number += 1
        self.writer.save()
        return self.number


def test_what_changes_while_a_write_is_under_way_goes_with_the_next_one():
    disk = Disk()
    for _ in range(5):
        disk.change()
    assert [number for number, _ in disk.writes] == [1]
    disk.writes[0][1].set_result(None)
    assert [number for number, _ in disk.writes] == [1, 5]
    disk.writes[1][1].set_result(None)
    assert len(disk.writes) == 2
    assert disk.saved == [1, 5]
    assert disk.writer.done == 5


def test_a_wait_ends_with_the_write_that_has_the_change():
    disk = Disk()
    disk.change()
    second = disk.writer.wait(disk.change())
    disk.writes[0][1].set_result(None)
    assert not second.done()
    disk.writes[1][1].set_result(None)
    assert second.result(0) is None
    assert disk.writer.wait(1).done()


@pytest.mark.parametrize("refused", [True, False], ids=["not taken", "failed"])
def test_a_write_that_fails_tells_those_who_wait_and_the_next_call_tries_again(refused):
    disk = Disk()
    disk.full = refused
    waiting = disk.writer.wait(disk.change())
    if not refused:
        later = disk.writer.wait(disk.change())
        disk.writes[0][1].set_exception(StoreFull("full"))
        assert isinstance(later.exception(0), StoreFull)
        assert isinstance(waiting.exception(0), StoreFull)
    else:
        assert isinstance(waiting.exception(0), Overloaded)
    assert disk.writer.done == 0
    disk.full = False
    disk.writer.save()
    disk.writes[-1][1].set_result(None)
    assert disk.writer.done == disk.number


def test_one_who_gave_up_waiting_holds_up_nothing():
    disk = Disk()
    given_up = disk.writer.wait(disk.change())
    waiting = disk.writer.wait(1)
    assert given_up.cancel()
    disk.writes[0][1].set_result(None)
    assert waiting.done()
    disk.writes[1][1].set_result(None)
    disk.change()
    assert [number for number, _ in disk.writes] == [1, 1, 2]


def test_what_cannot_be_put_into_notes_is_told_to_who_waits_and_ends_no_later_write():
    disk = Disk()
    take = disk.writer._collect

    def broken() -> Any:
        raise UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed")

    disk.writer._collect = broken
    with pytest.raises(UnicodeEncodeError):
        disk.writer.wait(1).result(0)
    disk.writer._collect = take
    waiting = disk.writer.wait(disk.change())
    disk.writes[0][1].set_result(None)
    assert waiting.result(0) is None


def test_what_comes_after_the_close_is_told_as_that_and_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("actors.subscriptions.coalescing_writer.RETRY_FIRST", 0.0)
    disk = Disk()
    stored = disk.writer.wait(disk.change())
    disk.writes[0][1].set_exception(SystemClosed("the system was closed"))
    with pytest.raises(SystemClosed):
        stored.result(0)
    disk.writer.retry_if_due()
    assert len(disk.writes) == 1
    assert [message for message in caplog.messages if "tried again" in message] == []
    assert "delivered again: the system was closed" in caplog.text
