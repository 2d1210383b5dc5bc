"""Which replicas may answer a read, and what its caller is told where none may."""

from __future__ import annotations

import pytest

from actors import ConsistencyTimeout, DomainError, ModelStopped, SystemClosed
from actors.queries.fresh_replicas import FreshReplicas
from actors.replication.progress import Progress


@pytest.fixture
def progress() -> Progress:
    """A log at 10, which replica a has applied, while b is at 7."""
    progress = Progress(10, ["m", "n"], ["a", "b"])
    progress.applied("a", [("m", 10), ("n", 10)])
    progress.applied("b", [("m", 7), ("n", 7)])
    return progress


def test_a_replica_answers_once_it_has_what_was_there_at_the_opening(progress: Progress) -> None:
    replicas = FreshReplicas(progress)
    assert replicas.fresh(("m",), 0) == ["a"]
    progress.applied("b", [("m", 10)])
    assert replicas.fresh(("m",), 0) == ["a", "b"]
    progress.committed(12)
    assert replicas.fresh(("m",), 12) == []


def test_where_any_position_will_do_the_most_advanced_answer(progress: Progress) -> None:
    replicas = FreshReplicas(progress)
    progress.exclude("a")
    assert replicas.fresh(("m",), 0) == ["b"]
    assert replicas.fresh(("m",), 1) == []


def test_a_caller_is_called_once_a_replica_may_be_fresh_enough(progress: Progress) -> None:
    replicas, called = FreshReplicas(progress), []
    progress.committed(11)
    assert replicas.fresh_or_call(("m",), 11, lambda: called.append(1)) == []
    progress.applied("b", [("m", 11)])
    assert called == [1]
    assert replicas.fresh_or_call(("m",), 11, lambda: called.append(2)) == ["b"]
    assert called == [1]


def test_waiting_that_would_not_help_is_refused(progress: Progress) -> None:
    replicas = FreshReplicas(progress)
    for replica in ("a", "b"):
        progress.stopped(replica, "m", 7, "a bug")
    with pytest.raises(ModelStopped, match="model 'm' is stopped on every replica: a bug"):
        replicas.fresh_or_call(("m",), 11, lambda: None)
    progress.close()
    with pytest.raises(SystemClosed, match="the query was not run"):
        replicas.fresh_or_call(("n",), 11, lambda: None)


def test_models_that_no_replica_has_together_are_named() -> None:
    progress = Progress(0, ["m", "n"], ["a", "b"], {"m": ["a"], "n": ["b"]})
    with pytest.raises(DomainError, match="no replica has all of m, n"):
        FreshReplicas(progress).fresh_or_call(("m", "n"), 1, lambda: None)


def test_the_error_says_what_was_asked_for_and_what_held_the_replicas(progress: Progress) -> None:
    replicas = FreshReplicas(progress)
    error = replicas.not_fresh(("m",), 3, 0.5)
    assert isinstance(error, ConsistencyTimeout)
    assert "fresh enough in m within 0.5 s: position 10 was asked for; no stale answer" in str(error)
    replicas.why_not = lambda models, target: f"{models[0]} waits for {target}"
    assert "position 12 was asked for, and the log ends at 10; m waits for 12; no" in str(
        replicas.not_fresh(("m",), 12, 0.5)
    )
