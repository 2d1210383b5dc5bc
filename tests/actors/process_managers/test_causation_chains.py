"""Whether the causes of an input come round to its instance, told from a log alone."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from actors.domain.process_manager_spec import EventRule, ProcessManagerSpec
from actors.process_managers.causation_chains import MAX_ROUNDS, is_loop
from actors.process_managers.inputs import Input, input_of_event
from actors.process_managers.step_errors import InputFailed
from storage import RecordedEvent


@dataclass
class Seen:
    key: str


SPEC = ProcessManagerSpec(
    "a",
    1,
    "now",
    frozenset(),
    {Seen: EventRule(lambda event: event.key, {}, "key")},
    {},
    {},
    {},
    frozenset(),
    frozenset({"a", "b"}),
)


class Log:
    """Events by their positions, each of a key and of a command of this id; `looked` at so many."""

    def __init__(self, *events: tuple[str, str]) -> None:
        self.events = events
        self.looked = 0

    def peek(self, after: int, part: int = 0) -> RecordedEvent | None:
        return self.at(after + 1)[part] if after < len(self.events) else None

    def at(self, position: int) -> list[RecordedEvent]:
        self.looked += 1
        key, command = self.events[position - 1]
        if key == "unreadable":
            raise InputFailed(f"a:{position}", "an event", ValueError("unreadable"), position)
        return [RecordedEvent(position, "s", position, Seen(key), "Seen", 0, command)]


def last(log: Log) -> Input:
    key, command = log.events[-1]
    position = len(log.events)
    return input_of_event("a", key, RecordedEvent(position, "s", position, Seen(key), "Seen", 0, command))


def chain(count: int, *managers: str, keys: tuple[str, ...] = ("k",), first: str = "user") -> Log:
    """Each event is of a command for the one before it, of these managers and for these instances in turn."""
    return Log(
        *(
            (
                keys[number % len(keys)],
                f"{managers[number % len(managers)]}:{number}:0:mark" if number else first,
            )
            for number in range(count)
        )
    )


@pytest.mark.parametrize(
    ("log", "round_"),
    [
        (chain(MAX_ROUNDS + 1, "a"), True),
        (chain(MAX_ROUNDS, "a"), False),
        (chain(2 * MAX_ROUNDS + 1, "a", "b"), True),
        (chain(2 * MAX_ROUNDS + 1, "a", keys=("k", "other")), True),
        (chain(5 * MAX_ROUNDS, "b"), False),
        (chain(5 * MAX_ROUNDS, "other program"), False),
        (Log(("k", "user"), ("unreadable", "a:1:0:mark"), *[("k", "a:2:0:mark")] * 3), False),
        (Log(("k", "a:9:0:mark")), False),
        (Log(("k", "a:1:0:mark")), False),
        (Log(("k", "user"), ("k", "a:1:" + "t0:" * MAX_ROUNDS + "0:mark")), True),
    ],
    ids=[
        "itself",
        "not often",
        "two managers",
        "two instances",
        "another manager alone",
        "another program",
        "what can't be read",
        "an event to come",
        "its own event",
        "timers between",
    ],
)
def test_a_chain_goes_round_where_it_comes_through_the_instance_again_and_again(
    log: Log, round_: bool
) -> None:
    assert is_loop(SPEC, log, last(log)) is round_
    assert log.looked <= 2 * MAX_ROUNDS + 30


def test_a_rejection_or_a_timer_goes_back_to_its_event_and_to_no_other() -> None:
    log = chain(3, "b")
    for id, round_ in (
        ("a:3:0:mark:r", False),
        ("a:3:" + ":".join(["t0"] * MAX_ROUNDS), True),
        ("a:" + "0" * 32 + ":0:mark:r", True),
    ):
        kind = "timer" if id.endswith("t0") else "rejection"
        assert is_loop(SPEC, log, Input(kind, id, "k", None, 0, None, None)) is round_
