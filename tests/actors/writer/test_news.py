from __future__ import annotations

import pytest

from actors.replication.messages import Committed
from actors.writer.commit_notifier import MOST, QUICK, SPACING, News


def commit(first, last, events=True):
    return Committed(first, last, list(range(first, last + 1)) if events else None)


def told_of():
    """News, and what is told of it."""
    news, told = News(), []
    news.announce = lambda committed: told.append((committed.first, committed.last, committed.events))
    return news, told


def test_quick_commits_are_told_together():
    news, told = told_of()
    news.add(commit(1, 2))
    news.add(commit(3, 3))
    assert told == []
    news.tell(0.0)
    news.tell(0.0)
    assert told == [(1, 3, [1, 2, 3])]


def test_a_commit_that_has_to_be_read_from_the_log_is_told_apart():
    news, told = told_of()
    news.add(commit(1, 2))
    news.add(commit(3, 4, events=False))
    news.add(commit(5, 5))
    news.tell(0.0)
    assert told == [(1, 2, [1, 2]), (3, 4, None), (5, 5, [5])]


def test_no_more_than_so_many_events_are_held_back():
    news, told = told_of()
    news.add(commit(1, MOST + 1))
    news.add(commit(MOST + 2, MOST + 2))
    assert [one[:2] for one in told] == [(1, MOST + 1)]
    news.tell(0.0)
    assert told[1][:2] == (MOST + 2, MOST + 2)


def test_a_busy_writer_tells_after_a_while_or_when_somebody_waits():
    news = News()
    assert not news.due(100.0, True)  # there is no news
    news.add(commit(1, 1))
    assert news.due(100.0, False)
    news.tell(100.0)
    news.add(commit(2, 2))
    assert not news.due(100.0 + SPACING / 2, False)
    assert news.due(100.0 + SPACING / 2, True)
    assert news.due(100.0 + SPACING, False)


def test_batches_that_follow_one_another_at_once_are_quick():
    news = News()
    assert not news.quick(100.0)
    assert news.quick(100.0 + QUICK / 2)
    assert not news.quick(100.0 + QUICK * 2)


def test_what_is_held_back_can_be_asked_for():
    news, told = told_of()
    news.tell_now()
    assert told == []
    news.add(commit(1, 2))
    news.tell_now()
    assert [one[:2] for one in told] == [(1, 2)]


def test_who_is_interrupted_while_telling_loses_no_news():
    news, told = told_of()
    announce = news.announce

    def interrupted(committed):
        announce(committed)
        raise KeyboardInterrupt

    news.announce = interrupted
    news.add(commit(1, 2))
    with pytest.raises(KeyboardInterrupt):
        news.tell_now()
    news.announce = announce
    news.add(commit(3, 3))
    news.tell_now()
    news.tell_now()
    assert [one[:2] for one in told] == [(1, 2), (1, 3)], "sync passes over what it knows"
