"""When a worker is asked whether it runs, and when its silence counts."""

from __future__ import annotations

from actors.worker_processes.parent.heartbeat import Heartbeat


def checked(heart: Heartbeat, *times: float, counts: bool = True) -> list[int | None]:
    return [heart.check(now, counts) for now in times]


def test_it_is_asked_at_once_and_again_only_after_it_answered_and_a_while() -> None:
    heart = Heartbeat(every=1.0)
    assert checked(heart, 10.0, 10.4, 10.8) == [1, None, None]
    heart.answered(1)
    assert heart.silent == 0.0
    assert checked(heart, 11.2, 11.6, 12.0, 12.4) == [None, None, 2, None]


def test_silence_grows_from_the_question_on_until_the_answer() -> None:
    heart = Heartbeat(every=1.0)
    checked(heart, 10.0)
    assert heart.silent == 0.0
    checked(heart, 10.25, 10.5, 10.75)
    assert heart.silent == 0.75
    heart.answered(1)
    assert heart.silent == 0.0


def test_an_answer_to_an_earlier_question_is_none() -> None:
    heart = Heartbeat(every=0.5)
    checked(heart, 10.0)
    heart.answered(1)
    checked(heart, 10.5, 11.0)
    heart.answered(1)
    assert heart.silent == 0.5


def test_time_in_which_this_process_stood_still_does_not_count() -> None:
    heart = Heartbeat(every=1.0)
    checked(heart, 10.0, 10.25, 3_600.0)
    assert heart.silent == 0.75, "half a second at most between two looks"


def test_time_in_which_nobody_hears_the_worker_does_not_count() -> None:
    heart = Heartbeat(every=1.0)
    checked(heart, 10.0)
    checked(heart, 10.25, 10.5, counts=False)
    checked(heart, 10.75)
    assert heart.silent == 0.25
