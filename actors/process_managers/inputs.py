"""The inputs of a process manager's instances, and what they lead to: values for the other modules. Pure.

An input is an event, the rejection of a command, or a timer that fires. Its id is permanent, and the ids of
all that it leads to are derived from it: its third command is `fulfilment:17:2`, so a command is never done
twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from actors.domain.process_manager_spec import Rejection
from actors.process_managers.unreadable_values import name_of
from storage import RecordedEvent

__all__ = [
    "NO_INSTANCE",
    "REJECTION",
    "Decision",
    "Input",
    "Instance",
    "Issued",
    "Timer",
    "describe",
    "id_of_event",
    "input_of_event",
    "input_of_rejection",
    "input_of_timer",
]

REJECTION = ":r"
"""The end of a rejection's id, and of no other input's."""


class Timer(NamedTuple):
    """A timer that is set: due at a wall-clock time in microseconds since 1970 UTC."""

    due_us: int
    id: str
    message: Any
    correlation: str | None


class Instance(NamedTuple):
    """One instance: its state, None where there is none, and the timers that it has set."""

    state: Any = None
    timers: tuple[Timer, ...] = ()


NO_INSTANCE = Instance()


@dataclass(frozen=True, slots=True)
class Input:
    """An input of the instance `key`. `time_us` is when it happened; `causation` and `correlation` are handed
    on.

    `version` is that of the manager that stored it, None if this one made it. Where upcasters made several
    events of one, `part` and `parts` are those of the `RecordedEvent`.
    """

    kind: str
    id: str
    key: str
    message: Any
    time_us: int
    causation: str | None
    correlation: str | None
    position: int = 0
    version: int | None = None
    part: int = 0
    parts: int = 1


class Issued(NamedTuple):
    """A command or an effect that a handler asked for; effects have a name."""

    id: str
    message: Any
    name: str = ""


@dataclass(slots=True)
class Decision:
    """The decision on one input: the instance after it, and what is to be done."""

    instance: Instance
    commands: list[Issued] = field(default_factory=list)
    effects: list[Issued] = field(default_factory=list)
    timers_set: list[Timer] = field(default_factory=list)
    timers_gone: list[Timer] = field(default_factory=list)


def id_of_event(manager: str, recorded: RecordedEvent) -> str:
    """The id of the input that an event is: the position, and which of the parts of a split event."""
    part = f".{recorded.part}" if recorded.part else ""
    return f"{manager}:{recorded.position}{part}"


def input_of_event(manager: str, key: str, recorded: RecordedEvent) -> Input:
    """The input that an event is for the instance `key`."""
    correlation = recorded.correlation_id or recorded.command_id
    return Input(
        "event",
        id_of_event(manager, recorded),
        key,
        recorded.event,
        recorded.time_us,
        recorded.command_id,
        correlation,
        recorded.position,
        part=recorded.part,
        parts=recorded.parts,
    )


def input_of_timer(key: str, timer: Timer) -> Input:
    """The input that a timer's firing is; its time is the one that it was due at."""
    return Input("timer", timer.id, key, timer.message, timer.due_us, timer.id, timer.correlation)


def input_of_rejection(
    command_id: str, key: str, rejection: Rejection[Any], time_us: int, correlation: str | None
) -> Input:
    """The input that the rejection of a command is."""
    return Input("rejection", command_id + REJECTION, key, rejection, time_us, command_id, correlation)


def describe(input: Input) -> str:
    """What an input is, for messages."""
    if input.kind == "event":
        return f"event {type(input.message).__name__} at position {input.position}"
    if input.kind == "rejection":
        return f"the rejection of {name_of(input.message.command)} {input.causation}"
    if input.kind == "checkpoint":
        return "its state as of what is forgotten of it"
    name = "" if input.message is None else f" {name_of(input.message)}"
    return f"timer{name} {input.id}"
