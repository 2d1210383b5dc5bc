from __future__ import annotations

from actors.writer.batch_budget import LONGEST, SHARE, SHORTEST, BatchPace


def test_a_batch_may_be_decided_for_some_times_what_the_disk_takes():
    pace = BatchPace()
    for _ in range(100):
        pace.committed(0.002)
    assert abs(pace.seconds - 0.002 * SHARE) < 0.0001


def test_one_slow_commit_among_many_changes_little():
    pace = BatchPace()
    for _ in range(100):
        pace.committed(0.001)
    before = pace.seconds
    pace.committed(0.003)
    assert before < pace.seconds < before * 2


def test_a_disk_that_says_yes_at_once_or_that_hangs_has_bounds():
    pace = BatchPace()
    assert pace.seconds == SHORTEST
    pace.committed(0.0)
    assert pace.seconds == SHORTEST
    pace.committed(60.0)
    assert pace.seconds == LONGEST
