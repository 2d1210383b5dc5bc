from __future__ import annotations

from actors.writer.batch_budget import LONGEST, SHARE, SHORTEST, BatchTimeBudget


def test_a_batch_may_be_decided_for_some_times_what_the_disk_takes():
    budget = BatchTimeBudget()
    for _ in range(100):
        budget.committed(0.002)
    assert abs(budget.seconds - 0.002 * SHARE) < 0.0001


def test_one_slow_commit_among_many_changes_little():
    budget = BatchTimeBudget()
    for _ in range(100):
        budget.committed(0.001)
    before = budget.seconds
    budget.committed(0.003)
    assert before < budget.seconds < before * 2


def test_a_disk_that_says_yes_at_once_or_that_hangs_has_bounds():
    budget = BatchTimeBudget()
    assert budget.seconds == SHORTEST
    budget.committed(0.0)
    assert budget.seconds == SHORTEST
    budget.committed(60.0)
    assert budget.seconds == LONGEST
