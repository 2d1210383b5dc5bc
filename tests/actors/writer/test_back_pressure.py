"""Whether callers wait for replicas: the rule alone."""

from __future__ import annotations

from actors.writer.back_pressure import BackPressure, Hold, ModelLag


def lags(*behind: int) -> list[ModelLag]:
    return [ModelLag(f"replica-{number}", "totals", one) for number, one in enumerate(behind, 1)]


def test_callers_have_the_room_that_the_slowest_leaves() -> None:
    pressure = BackPressure(100)
    assert pressure.update([], 0, False, 1.0) is None
    assert pressure.update(lags(0, 0), 0, False, 1.0) == 100
    assert pressure.update(lags(30, 0), 5, True, 2.0) == 70
    assert pressure.hold(2.0) is None  # they wait for another reason
    assert pressure.update(lags(3, 100), 0, False, 3.0) == 0
    assert pressure.hold(3.0) == Hold(ModelLag("replica-2", "totals", 100), 3.0)
    assert pressure.update(lags(150, 101), 0, True, 4.0) == 0
    assert pressure.hold(4.0) == Hold(ModelLag("replica-1", "totals", 150), 3.0)
    assert pressure.update(lags(40, 0), 60, True, 4.5) == 60
    assert pressure.hold(4.5) == Hold(ModelLag("replica-1", "totals", 40), 3.0)


def test_waits_that_follow_each_other_closely_are_one() -> None:
    pressure = BackPressure(100)
    pressure.update(lags(101), 0, True, 1.0)
    pressure.update(lags(50), 0, False, 1.1)
    assert pressure.hold(1.5) == Hold(ModelLag("replica-1", "totals", 101), 1.0)
    pressure.update(lags(130), 0, True, 1.6)
    assert pressure.hold(1.7) == Hold(ModelLag("replica-1", "totals", 130), 1.0)
    pressure.update(lags(0), 0, False, 1.8)
    assert pressure.hold(2.9) is None
    pressure.update(lags(101), 0, True, 3.0)
    assert pressure.hold(3.0) == Hold(ModelLag("replica-1", "totals", 101), 3.0)
