from __future__ import annotations

import pytest

from benchmarks.callers import Start, run_together


def test_callers_go_on_at_one_moment_when_all_are_ready() -> None:
    ready: list[int] = []
    moments: list[tuple[float, int]] = []

    def work(number: int, start: Start) -> None:
        ready.append(number)
        moments.append((start(), len(ready)))

    assert run_together(5, work) >= 0
    assert moments == [(moments[0][0], 5)] * 5


@pytest.mark.parametrize("ready", [True, False])
def test_the_error_of_one_is_raised_when_all_have_ended(ready: bool) -> None:
    ended: list[int] = []

    def work(number: int, start: Start) -> None:
        try:
            if number == 2 and not ready:
                raise OSError("no such store")
            start()
            if number == 2:
                raise OSError("no such store")
        finally:
            ended.append(number)

    with pytest.raises(OSError, match="no such store"):
        run_together(4, work)
    assert sorted(ended) == [0, 1, 2, 3]
