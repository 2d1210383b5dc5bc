"""Numbers of more digits than Python writes out, and values whose repr fails, wherever a caller can
give one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors import Domain, InvalidMessage, OnewriterError, Reader, Rejected, System
from actors.testing import open_system
from tests.helpers import PATIENCE

HUGE = 10**5000


class Broken:
    def __repr__(self) -> str:
        raise LookupError("no text today")


domain = Domain("huge")


@domain.state(stream="box-{number}")
class Box:
    number: int


@domain.event(Box)
class Opened:
    number: int


@domain.event(state=None)
class Measured:
    value: Any


@domain.command(Box)
class Open:
    number: int
    how: str = "open"


@domain.decide
def open_box(box: Box | None, command: Open, read: Reader) -> Any:
    match command.how:
        case "read":
            read(Box, HUGE)
        case "give":
            return HUGE
        case "give broken":
            return Broken()
        case "reject":
            raise Rejected("no", number=HUGE)
        case "fail":
            raise KeyError(HUGE)
    return Opened(command.number)


@domain.evolve
def opened(box: Box | None, event: Opened) -> Box:
    return Box(event.number)


model = domain.read_model("model")
rows = model.table("rows", key="key", indexes=["value"])


@domain.query(reads=[model])
class Ask:
    what: str

    def run(self, view: Any) -> Any:
        table = view[rows]
        return {
            "page": lambda: table.page("value", size=HUGE),
            "get": lambda: table.get(HUGE),
            "range": lambda: list(table.range("value", start=HUGE)),
            "columns": lambda: list(table.all(columns=HUGE)),
            "count": lambda: table.count("value", equal=Broken()),
            "view": lambda: view[HUGE],
            "fail": lambda: [][HUGE],
        }[self.what]()


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with open_system(domain) as opened_system:
        yield opened_system


OPTIONS = ["expected_version", "timeout", "command_id", "metadata"]
HOWS = ["read", "give", "give broken", "reject", "fail"]
ASKED = ["page", "get", "range", "columns", "count", "view", "fail"]


def calls(value: Any) -> dict[str, Callable[[System], Any]]:
    return {
        "a field": lambda s: s.execute(Open(value)),
        "another field": lambda s: s.execute(Open(1, value)),
        "a message": lambda s: s.execute(value),
        "a list": lambda s: s.execute_many(value),
        "a query": lambda s: s.query(value),
        "facts of": lambda s: s.append(value, [Measured(1)]),
        "facts": lambda s: s.append("a", [value]),
        **{f"execute {name}": lambda s, name=name: s.execute(Open(1), **{name: value}) for name in OPTIONS},
        **{
            f"query {name}": lambda s, name=name: s.query(Ask("get"), **{name: value})
            for name in ("after", "max_lag", "timeout", "consistency")
            if (name, value) != ("max_lag", HUGE)  # so much lag is fine
        },
        "session": lambda s: s.session(value),
        "stream": lambda s: s.stream(value),
        "stream after": lambda s: s.stream("a", value),
        "stream limit": lambda s: s.stream("a", 0, value),
        "streams": lambda s: s.streams(value),
        "streams limit": lambda s: s.streams(limit=value),
        "streams after": lambda s: s.streams(after=value),
        "tagged": lambda s: s.tagged(value),
        "tagged after": lambda s: s.tagged("a", value),
        "tagged limit": lambda s: s.tagged("a", 0, value),
        "wait_applied": lambda s: s.wait_applied(value),
        "wait_applied timeout": lambda s: s.wait_applied(timeout=value),
        "subscribe": lambda s: list(s.subscribe(value, timeout=0)),
        "subscribe until": lambda s: list(s.subscribe(0, until=value, timeout=0)),
        "consumer": lambda s: s.consumer(value),
        "consumer start": lambda s: s.consumer("one", start=value),
        "consumer in_flight": lambda s: s.consumer("one", in_flight=value),
        "consume": lambda s: s.consume("one", value),
        "consume threads": lambda s: s.consume("one", print, threads=value),
        "watch": lambda s: s.watch(value),
        "watch until": lambda s: s.watch(Ask("get"), until=value),
        "skip": lambda s: s.skip_event(model, value),
        "skip model": lambda s: s.skip_event(value, 1),
        "rebuild": lambda s: s.rebuild(value),
        "dump": lambda s: s.dump(value, model),
        "dump model": lambda s: s.dump("replica-1", value),
        "kill": lambda s: s.kill(value),
        "parked_streams": lambda s: s.parked_streams(value),
        "process_manager_states": lambda s: s.process_manager_states("one", value),
        "process_manager_state": lambda s: s.process_manager_state(value, value),
        "effects": lambda s: s.effects(value),
        "view": lambda s: s.view(value),
        "view key": lambda s: s.view(model)[value],
        **{
            f"open {name}": lambda s, name=name: System.open(
                f"{tempfile.gettempdir()}/never-made", domain, **{name: value}
            )
            for name in (
                "replicas",
                "query_actors",
                "map_size",
                "decider_limit",
                "view_max_age",
                "rebuild_share",
                "workers",
            )
        },
    }


def check(error: BaseException) -> None:
    """It is of ours, says what is wrong in a bounded text, and does not pass on what Python says of the
    number alone.
    """
    assert isinstance(error, OnewriterError | TypeError | ValueError), repr(error)
    text = str(error)
    assert 10 < len(text) < 1000
    assert not text.startswith("Exceeds")
    assert "no text today" not in text


@pytest.mark.parametrize("value", [HUGE, -HUGE, Broken()], ids=["huge", "minus huge", "broken"])
@pytest.mark.parametrize("name", list(calls(0)))
def test_what_can_not_be_is_refused_in_a_sentence(system: System, name: str, value: Any) -> None:
    fine = {"query max_lag", "subscribe", "subscribe until", "watch until"}
    if name in fine and value == HUGE:
        pytest.skip("a number that is only large")
    with pytest.raises(Exception) as refused:
        calls(value)[name](system)
    check(refused.value)


@pytest.mark.parametrize("how", HOWS)
def test_a_decider_that_gives_or_raises_such_a_value_fails_alone(system: System, how: str) -> None:
    with pytest.raises(OnewriterError) as refused:
        system.execute(Open(1, how))
    check(refused.value) if how != "reject" else None
    assert system.execute(Open(7)).version


@pytest.mark.parametrize("what", ASKED)
def test_a_query_that_asks_with_such_a_value_fails_alone(system: System, what: str) -> None:
    with pytest.raises(OnewriterError) as refused:
        system.query(Ask(what), timeout=PATIENCE)
    check(refused.value)


def test_a_number_in_the_name_of_a_stream_says_that_it_is_too_long(system: System) -> None:
    with pytest.raises(
        InvalidMessage, match=r"Open\.number .* names the stream.*an int of about 5,001 digits"
    ):
        system.execute(Open(HUGE))


def test_such_a_number_is_stored_and_read_where_nothing_is_named_after_it(system: System) -> None:
    receipt = system.append("numbers", [Measured(HUGE), Measured([-HUGE])])
    assert [one.event.value for one in system.stream("numbers")] == [HUGE, [-HUGE]]
    assert system.wait_applied(receipt) == receipt.position


def test_a_deadline_that_is_far_off_is_none(system: System) -> None:
    assert system.execute(Open(8), deadline=HUGE).version
    with pytest.raises(OnewriterError, match="deadline passed"):
        system.execute(Open(8), deadline=-HUGE)
