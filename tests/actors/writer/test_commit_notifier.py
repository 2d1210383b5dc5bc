from __future__ import annotations

import pytest

from actors.replication.messages import Committed
from actors.settings import REPLICATION_INTERVAL
from actors.writer.commit_notifier import MAX_HELD_EVENTS, QUICK_SECONDS, CommitNotifier


def commit(first, last, events=True):
    return Committed(first, last, list(range(first, last + 1)) if events else None)


def told_of():
    """A notifier, and what it announces."""
    notifier, told = CommitNotifier(), []
    notifier.announce = lambda committed: told.append((committed.first, committed.last, committed.events))
    return notifier, told


def test_quick_commits_are_told_together():
    notifier, told = told_of()
    notifier.add(commit(1, 2))
    notifier.add(commit(3, 3))
    assert told == []
    notifier.flush(0.0)
    notifier.flush(0.0)
    assert told == [(1, 3, [1, 2, 3])]


def test_a_commit_that_has_to_be_read_from_the_log_is_told_apart():
    notifier, told = told_of()
    notifier.add(commit(1, 2))
    notifier.add(commit(3, 4, events=False))
    notifier.add(commit(5, 5))
    notifier.flush(0.0)
    assert told == [(1, 2, [1, 2]), (3, 4, None), (5, 5, [5])]


def test_no_more_than_so_many_events_are_held_back():
    notifier, told = told_of()
    notifier.add(commit(1, MAX_HELD_EVENTS + 1))
    notifier.add(commit(MAX_HELD_EVENTS + 2, MAX_HELD_EVENTS + 2))
    assert [one[:2] for one in told] == [(1, MAX_HELD_EVENTS + 1)]
    notifier.flush(0.0)
    assert told[1][:2] == (MAX_HELD_EVENTS + 2, MAX_HELD_EVENTS + 2)


def test_a_busy_writer_tells_after_a_while_or_when_somebody_waits():
    notifier = CommitNotifier()
    assert not notifier.due(100.0, True)  # there is no news
    notifier.add(commit(1, 1))
    assert notifier.due(100.0, False)
    notifier.flush(100.0)
    notifier.add(commit(2, 2))
    assert not notifier.due(100.0 + REPLICATION_INTERVAL / 2, False)
    assert notifier.due(100.0 + REPLICATION_INTERVAL / 2, True)
    assert notifier.due(100.0 + REPLICATION_INTERVAL, False)


def test_batches_that_follow_one_another_at_once_are_quick():
    notifier = CommitNotifier()
    assert not notifier.quick(100.0)
    assert notifier.quick(100.0 + QUICK_SECONDS / 2)
    assert not notifier.quick(100.0 + QUICK_SECONDS * 2)


def test_what_is_held_back_can_be_asked_for():
    notifier, told = told_of()
    notifier.flush_now()
    assert told == []
    notifier.add(commit(1, 2))
    notifier.flush_now()
    assert [one[:2] for one in told] == [(1, 2)]


def test_who_is_interrupted_while_telling_loses_no_news():
    notifier, told = told_of()
    announce = notifier.announce

    def interrupted(committed):
        announce(committed)
        raise KeyboardInterrupt

    notifier.announce = interrupted
    notifier.add(commit(1, 2))
    with pytest.raises(KeyboardInterrupt):
        notifier.flush_now()
    notifier.announce = announce
    notifier.add(commit(3, 3))
    notifier.flush_now()
    notifier.flush_now()
    assert [one[:2] for one in told] == [(1, 2), (1, 3)], "sync passes over what it knows"


def test_without_an_interval_every_commit_is_told_at_once():
    notifier = CommitNotifier(0)
    notifier.add(commit(1, 1))
    notifier.flush(100.0)
    notifier.add(commit(2, 2))
    assert notifier.due(100.0, False)
    assert not notifier.quick(100.0)
    assert not notifier.quick(100.0)
