"""What is behind is told as what it is: moving, being filled, or standing still."""

from __future__ import annotations

from actors.replication.lag import Lag, counted
from actors.replication.progress_rate import ProgressRates


def test_a_position_that_does_not_change_stands_still_since_it_was_first_behind() -> None:
    movement = ProgressRates()
    movement.look("a", 5, 5, 10.0)
    movement.look("a", 5, 6, 11.0)
    movement.look("a", 5, 9, 13.0)
    assert movement.still("a", 5, 14.0) == 3.0
    assert movement.still("a", 6, 14.0) == 0.0, "it has moved since the last look"
    movement.look("a", 6, 9, 14.0)
    assert movement.still("a", 6, 14.5) == 0.5
    movement.look("a", 9, 9, 15.0)
    assert movement.still("a", 9, 20.0) == 0.0, "it has nothing to move for"


def test_a_rate_is_that_of_the_last_looks_and_a_new_beginning_has_its_own() -> None:
    movement = ProgressRates()
    for second in range(5):
        movement.look("a", 100 * second, 1_000, 10.0 + second)
    assert movement.rate("a", 400, 14.0) == 100.0
    assert movement.left("a", 400, 14.0) == 6.0
    movement.look("a", 0, 1_000, 15.0)
    assert movement.rate("a", 0, 15.0) is None
    assert movement.rate("b", 0, 15.0) is None


def test_one_that_does_not_come_nearer_has_no_end_in_sight() -> None:
    movement = ProgressRates()
    for second in range(5):
        movement.look("a", 10 * second, 1_000 + 20 * second, 10.0 + second)
    assert movement.rate("a", 40, 14.0) == 10.0
    assert movement.left("a", 40, 14.0) is None


def test_the_words_tell_what_stands_still_from_what_moves() -> None:
    def text(**given: object) -> tuple[str, str]:
        lag = Lag(**{"position": 7, "behind": 100, "seconds": 20.04, "still": 0.0, **given})  # type: ignore[arg-type]
        return lag.state, lag.text

    assert text(behind=0, seconds=0.0)[0] == "current"
    assert text(still=15.0) == (
        "stalled",
        "20.0 s (100 events) behind and has stood still at position 7 for 15.0 s",
    )
    assert text(still=1.0) == ("moving", "20.0 s (100 events) behind and catching up")
    assert text(rate=50.0, left=2.0) == (
        "moving",
        "20.0 s (100 events) behind and catching up at 50 events/s, for another 2 s or so",
    )
    assert text(rate=50.0) == (
        "moving",
        "20.0 s (100 events) behind and moves, but does not come nearer, at 50 events/s",
    )
    assert text(rate=50.0, left=2.0, filling=True) == (
        "filling",
        "20.0 s (100 events) behind and being filled from the log at 50 events/s, for another 2 s or so",
    )
    assert counted(1) == "1 event"
