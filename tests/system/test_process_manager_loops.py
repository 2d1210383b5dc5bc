"""An instance that leads itself without end is set aside: others have their turn, health names it, an
operator ends it.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from actors import Do, Domain, NotStopped, ProcessManagerStopped, Rejected, Runaway
from actors.process_managers import input_handler, loop_limiter
from actors.process_managers.inputs import Decision, Input, Instance, Issued, Timer
from actors.process_managers.loop_limiter import LoopLimiter
from actors.testing import TestSystem
from tests.helpers import wait_until
from tests.system.test_process_managers import opened

MINUTE = timedelta(minutes=1)


def watching(*, managers: int = 1) -> tuple[Domain, type]:
    """A domain whose parcels are looked at `every` so many seconds, or `again` and again by what is asked
    for.
    """
    parcels = Domain("parcels")

    @parcels.state(stream="parcel-{parcel}")
    class Item:
        parcel: str

    @parcels.event(Item, state=None)
    class Scanned:
        parcel: str
        every: float | None = None
        again: str = ""
        by: int = 0

    @parcels.command(Item)
    class Scan:
        parcel: str
        again: str
        by: int

    @parcels.decide(Scan)
    def scan(item: Any, command: Any) -> Any:
        if command.again == "rejection":
            raise Rejected("no")
        yield Scanned(command.parcel, None, command.again, (command.by + 1) % managers)

    def manager(number: int) -> None:
        watcher = parcels.process_manager(f"watcher{number}", key="parcel", start="beginning")

        @watcher.state(name=f"Parcel{number}")
        class Parcel:
            parcel: str
            looks: int = 0

        @watcher.timer(name=f"Look{number}")
        class Look:
            parcel: str
            every: float

        def ask(parcel: str, again: str, by: int, do: Do) -> None:
            if again == "effect":
                do.effect("scan", parcel)
            elif again:
                do.execute(Scan(parcel, again, by))

        @watcher.on(Scanned)
        def on_scanned(state: Any, event: Any, do: Do) -> Any:
            if event.by == number:
                if event.every is not None:
                    do.after(timedelta(seconds=event.every), Look(event.parcel, event.every))
                ask(event.parcel, event.again, event.by, do)
            return Parcel(event.parcel, (state.looks if state else 0) + 1)

        @watcher.on_rejected(Scan)
        def on_rejected(state: Any, rejection: Any, do: Do) -> Any:
            do.execute(rejection.command)
            return Parcel(state.parcel, state.looks + 1)

        @watcher.on_timer(Look)
        def look(state: Any, timer: Any, do: Do) -> Any:
            do.after(timedelta(seconds=timer.every), timer)
            return Parcel(state.parcel, state.looks + 1)

        @watcher.effect("scan")
        def send(payload: Any, key: str) -> Any:
            return Scan(payload, "effect", 0)

    for number in range(managers):
        manager(number)
    return parcels, Scanned


def put(system: TestSystem, *events: Any) -> None:
    for event in events:
        system.append(f"parcel-{event.parcel}", [event])


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"every": 0.0}, "timer Look watcher0:"),
        ({"every": -5.0}, "timer Look watcher0:"),
        ({"every": 1e-6}, "timer Look watcher0:"),
        ({"again": "event"}, "event Scanned at position "),
        ({"again": "rejection"}, "the rejection of Scan watcher0:"),
        ({"again": "effect"}, "event Scanned at position "),
        ({"again": "another"}, "event Scanned at position "),
    ],
    ids=[
        "no delay",
        "negative delay",
        "hardly a delay",
        "command",
        "refused command",
        "effect",
        "two managers",
    ],
)
def test_an_instance_that_leads_itself_without_end_is_set_aside_and_others_have_their_turn(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], what: str
) -> None:
    monkeypatch.setattr(loop_limiter, "BURST", 40)
    monkeypatch.setattr(loop_limiter, "RESUME_TOKENS", 10)
    domain, scanned = watching(managers=2 if "another" in fields.values() else 1)
    with opened(store_path, domain) as system:
        put(system, scanned("a", **fields), scanned("b"))
        wait_until(lambda: any(one.quarantined for one in system.process_managers()))
        wait_until(lambda: system.process_manager_state("watcher0", "b") is not None)
        stopped = next(one for one in system.process_managers() if one.quarantined)
        [one] = system.quarantined_instances(stopped.name)
        assert one.key == "a"
        assert one.stopped_at.startswith(what)
        assert "leads itself without end" in one.error
        [problem] = system.health().problems
        assert (
            f"process manager {stopped.name} has set aside 1 instance: 'a' at {one.stopped_at}: Runaway"
            in problem
        )
        looks = system.process_manager_state(stopped.name, "a").looks
        assert 40 <= looks < 200
        assert not system.retry_instance(stopped.name, "a")
        # Slowly it goes on.
        system.advance(MINUTE)

        def more() -> bool:
            with suppress(NotStopped):  # It may go on by itself.
                system.retry_instance(stopped.name, "a")
            return bool(system.process_manager_state(stopped.name, "a").looks >= looks + 10)

        wait_until(more)
        wait_until(lambda: any(one.quarantined for one in system.process_managers()))
        # And an operator ends it.
        with pytest.raises(ProcessManagerStopped, match="leads itself without end"):
            system.wait_process_managers()
        stopped = next(one for one in system.process_managers() if one.quarantined)
        system.skip_instance(stopped.name, "a", "it turns round and round")
        system.wait_process_managers()
        assert system.health().status == "ok"


def test_an_instance_that_is_led_by_others_or_by_timers_with_a_delay_has_no_bound(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_limiter, "BURST", 5)
    domain, scanned = watching()
    with opened(store_path, domain) as system:
        put(system, *[scanned("a") for _ in range(50)], scanned("a", every=1.0))
        system.wait_process_managers()
        system.advance(timedelta(seconds=100))
        system.wait_process_managers()
        assert system.process_manager_state("watcher0", "a").looks >= 150
        assert system.health().status == "ok"


def test_instances_whose_timers_fire_without_end_leave_others_their_turn_before_they_are_set_aside(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_limiter, "BURST", 10**9)
    domain, scanned = watching()
    with opened(store_path, domain) as system:
        put(system, *[scanned(f"a{number}", every=0.0) for number in range(5)])
        wait_until(
            lambda: (
                (state := system.process_manager_state("watcher0", "a0")) is not None and state.looks > 200
            )
        )
        put(system, scanned("b"))
        wait_until(lambda: system.process_manager_state("watcher0", "b") is not None)
        assert system.process_managers()[0].quarantined == 0


def input_of(key: str) -> tuple[Input, Decision]:
    fired = Input("timer", f"w:{key}:t0", key, None, 0, None, None)
    return fired, Decision(Instance(), timers_set=[Timer(0, "", None, None)])


def test_what_is_known_of_many_instances_is_bounded_and_a_loop_stays_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop_limiter, "MAX_BUCKETS", 100)
    monkeypatch.setattr(loop_limiter, "BURST", 1_000)
    buckets = LoopLimiter("w")
    for number in range(1_000):
        buckets.check(*input_of(f"other {number}"), frozenset(), 0)
        buckets.check(*input_of("loop"), frozenset(), 0)
    with pytest.raises(Runaway, match="instance 'loop'"):
        buckets.check(*input_of("loop"), frozenset(), 0)
    assert len(buckets._buckets) <= 101


def test_commands_that_answer_no_command_of_a_manager_take_no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_limiter, "BURST", 1)
    buckets = LoopLimiter("w")
    told = Input("event", "w:1", "a", None, 0, "an order of w:12", None, 1)
    for _ in range(5):
        buckets.check(told, Decision(Instance(), commands=[Issued("w:1:0", None)]), frozenset({"w"}), 0)


# -- what goes no round --------------------------------------------------------------------------
def pipeline(managers: int, key: Any) -> tuple[Domain, type]:
    """Orders that are reserved, packed and sent; each stage is asked for by a manager, all of them or its own
    one each.
    """
    orders = Domain("orders")

    @orders.event(state=None)
    class Ordered:
        order: str

    @orders.state(stream="order-{order}")
    class Order:
        order: str

    @orders.event(Order, state=None)
    class Moved:
        order: str
        stage: int

    @orders.command(Order)
    class Move:
        order: str
        stage: int

    @orders.decide(Move)
    def move(order: Any, command: Any) -> Any:
        if command.stage == 1:
            raise Rejected("not in stock")
        yield Moved(command.order, command.stage)

    def manager(number: int) -> None:
        one = orders.process_manager(f"stage{number}", key=key, start="beginning")

        @one.state(name=f"Stage{number}")
        class Stage:
            moved: int = 0

        @one.on(Ordered)
        def on_ordered(state: Any, event: Any, do: Do) -> Any:
            if number == 0:
                do.execute(Move(event.order, 0))
            return Stage(state.moved if state else 0)

        @one.on(Moved)
        def on_moved(state: Any, event: Any, do: Do) -> Any:
            if (event.stage > 0) == bool(number) or managers == 1:
                do.effect("mail", event.order)
                if event.stage < 3:
                    do.execute(Move(event.order, event.stage + 1))
            return Stage((state.moved if state else 0) + 1)

        @one.on_rejected(Move)
        def on_rejected(state: Any, rejection: Any, do: Do) -> Any:
            do.execute(Move(rejection.command.order, 2))
            return state

        one.effect("mail")(lambda payload, key: None)

    for number in range(managers):
        manager(number)
    return orders, Ordered


@pytest.mark.parametrize("managers", [1, 2])
@pytest.mark.parametrize("at_once", [True, False], ids=["one correlation", "many"])
@pytest.mark.parametrize("key", ["order", lambda event: "warehouse"], ids=["of its own", "one for all"])
def test_a_stage_that_others_lead_to_has_no_bound_however_many_come_through_one_instance(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, managers: int, at_once: bool, key: Any
) -> None:
    monkeypatch.setattr(loop_limiter, "BURST", 5)
    domain, ordered = pipeline(managers, key)
    with opened(store_path, domain) as system:
        orders = [ordered(str(number)) for number in range(60)]
        for some in [orders] if at_once else [[one] for one in orders]:
            system.append("orders", some, correlation_id="import" if at_once else None)
        system.wait_process_managers()
        assert not system.health().problems
        states = system.process_manager_states(f"stage{managers - 1}")
        assert sum(state.moved for _, state in states) == 60 * 3


def test_the_causes_of_an_input_are_walked_at_its_bound_alone(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(input_handler, "is_loop", lambda *_: bool(asked.append(1)))
    domain, ordered = pipeline(1, "order")
    with opened(store_path, domain) as system:
        system.append("orders", [ordered(str(number)) for number in range(20)])
        system.wait_process_managers()
    assert asked == []
