"""What is looked after once a year: that nothing was changed behind the system's back, and what was wrong."""

from __future__ import annotations

from collections.abc import Iterator

from actors import RecordedEvent, System
from examples.clinic.appointments import RoomMeasured
from examples.clinic.overview import diary


def in_celsius(recorded: RecordedEvent) -> RoomMeasured | None:
    """The thermometer of one room shows Fahrenheit: nobody heals at more than 45 degrees."""
    event = recorded.event
    if isinstance(event, RoomMeasured) and event.degrees > 45:
        return RoomMeasured(event.room, round((event.degrees - 32) / 1.8, 1))
    return None


def auditor(system: System) -> Iterator[str]:
    """Verifies the log against what was noted before, corrects what is known to be wrong, and says so."""
    noted = system.chain_head()
    system.append("rooms", [RoomMeasured("two", 68.0)])
    plan = system.plan_correction(in_celsius, types=RoomMeasured)
    if plan.count:
        plan.apply(who="weiss", why="the thermometer of room two shows Fahrenheit")
    for one in system.corrections():
        [changed] = system.corrected_events(one.number)
        yield f"{one.who}: {changed.before.event} is {changed.after.event}"
    for skipped in system.skipped_events():
        system.unskip_event(diary, skipped.position)
    system.wait_rebuilt(diary, timeout=60)
    yield f"{len(system.verify_log(noted).findings)} findings"
