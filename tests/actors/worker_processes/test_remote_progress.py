"""A replica whose worker is gone is asked by nobody, and comes back with what it has."""

from __future__ import annotations

from actors.worker_processes.parent.remote_progress import RemoteProgress

MODELS = ["counts", "sums"]
REPLICAS = ["replica-1", "replica-2"]


def at(position: int) -> list[tuple[str, int]]:
    return [(model, position) for model in MODELS]


def progress() -> RemoteProgress:
    made = RemoteProgress(10, MODELS, REPLICAS)
    for name in REPLICAS:
        made.applied(name, at(10))
    return made


def test_nobody_asks_a_replica_without_a_worker() -> None:
    one = progress()
    one.mark_unreachable("replica-1")
    assert one.fresh(MODELS, 0) == ["replica-2"]
    assert one.most_advanced(MODELS) == ["replica-2"]
    assert not one.everywhere(5)
    one.applied("replica-1", at(12))  # What was on its way changes nothing.
    assert one.fresh(MODELS, 0) == ["replica-2"]


def test_it_is_asked_again_when_it_is_back_with_all_that_it_had() -> None:
    one = progress()
    woken = []
    for name in REPLICAS:
        one.mark_unreachable(name)
    assert one.fresh_or_call(tuple(MODELS), 10, lambda: woken.append(1)) == []
    one.committed(20)
    one.mark_reachable("replica-1", at(15))
    assert woken == [1]
    assert one.fresh(MODELS, 10) == ["replica-1"]
    assert one.floor("replica-1", MODELS) == 0


def test_one_that_lost_what_its_readers_saw_is_left_out_until_it_has_everything() -> None:
    one = progress()
    one.mark_unreachable("replica-1")
    one.committed(20)
    one.mark_reachable("replica-1", [("counts", 10), ("sums", 3)])
    assert one.floor("replica-1", MODELS) == 20
    one.applied("replica-1", at(19))
    assert one.fresh(MODELS, 0) == ["replica-2"]
    one.applied("replica-1", at(20))
    assert one.fresh(MODELS, 20) == ["replica-1"]


def test_one_that_was_being_filled_again_goes_on_being_left_out() -> None:
    one = progress()
    one.exclude("replica-1")
    one.mark_reset("replica-1")
    one.mark_unreachable("replica-1")
    one.mark_unreachable("replica-1")
    one.mark_reachable("replica-1", at(4))
    assert one.floor("replica-1", MODELS) == 10
