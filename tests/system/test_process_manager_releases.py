"""A process manager survives its next release: whatever classes of what it has stored are gone or changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from actors import Do, Domain, DomainError, NotStopped, ProcessManagerStopped, Rejected
from actors.process_managers.record_codec import RecordCodec
from actors.testing import TestSystem
from tests import inside
from tests.helpers import wait_until
from tests.system.test_process_managers import opened

SOON = timedelta(minutes=1)


class Agency:
    """A travel agency whose saga books and reminds; a release may drop or change the classes of both."""

    def __init__(
        self,
        version: int = 1,
        *,
        timer: str = "there",
        command: str = "there",
        faults: bool = False,
        handler: bool = True,
        key: str = "trip",
        effect: str = "",
    ) -> None:
        self.heard: list[tuple[str, str]] = []
        self.sent: list[tuple[str, Any]] = []
        self.faults = faults
        travel = self.domain = Domain("travel")

        @travel.state(stream="trip-{trip}")
        class Trip:
            trip: str

        @travel.event(Trip)
        class Asked:
            trip: str
            who: str

        @travel.command(Trip)
        class Ask:
            trip: str

        self.Ask = Ask
        book: Any
        if command == "there":

            @travel.command(Trip, name="Book")
            class Book:
                trip: str

            book = Book
        elif command == "changed":

            @travel.command(Trip, name="Book")
            class BookNights:
                trip: str
                nights: int

            def book(trip: str) -> Any:
                return BookNights(trip, 1)
        else:

            @travel.command(Trip)
            class Reserve:
                trip: str

            book = Reserve

        if effect != "value gone":

            @travel.value
            class Letter:
                text: str

        @travel.decide(Ask)
        def ask(trip: Any, command: Any) -> Any:
            yield Asked(command.trip, f"who of {command.trip}")

        @travel.decide(
            *[one.cls for one in travel.declarations.classes if one.kind == "command" and one.cls is not Ask]
        )
        def refuse(trip: Any, command: Any) -> Any:
            raise Rejected("full", code="full")

        @travel.evolve(Asked)
        def asked(trip: Any, event: Any) -> Any:
            return Trip(event.trip)

        saga = travel.process_manager("saga", key=key, start="beginning", version=version)

        @saga.state
        class Booking:
            trip: str
            heard: tuple[str, ...] = ()

        def hear(state: Any, text: str) -> Any:
            if self.faults:
                raise LookupError("a fault of this handler, to be mended")
            self.heard.append((state.trip, text))
            return Booking(state.trip, (*state.heard, text))

        remind: Any = None
        if timer == "there":

            @saga.timer(name="Remind")
            class Remind:
                trip: str

            remind = Remind
            saga.on_timer(Remind)(lambda state, timer, do: hear(state, f"remind {timer.trip}"))
        elif timer == "changed":

            @saga.timer(name="Remind")
            class RemindWith:
                trip: str
                text: str

            def remind(trip: str) -> Any:
                return RemindWith(trip, "come")

            saga.on_timer(RemindWith)(
                lambda state, timer, do: hear(state, f"remind {timer.trip} {timer.text}")
            )

        @saga.on(Asked)
        def on_asked(state: Any, event: Any, do: Do) -> Any:
            do.execute(book(event.trip))
            if remind is not None:
                do.after(SOON, remind(event.trip))
            if effect == "value":
                do.effect("post", [Letter(event.trip)])
            return Booking(event.trip)

        if handler:

            @saga.on_rejected(
                *[
                    one.cls
                    for one in travel.declarations.classes
                    if one.kind == "command" and one.cls is not Ask
                ]
            )
            def on_full(state: Booking, rejection: Any, do: Do) -> Any:
                return hear(state, f"full {getattr(rejection.command, 'nights', '')}".strip())

        if effect:

            @saga.effect("post")
            def post(payload: Any, key: str) -> None:
                if effect == "value":
                    raise OSError("no post today")
                self.sent.append((key, payload))


def former(self: RecordCodec, input: Any) -> bytes:
    """An input as checkouts stored it before its note told the version."""
    said = input.message
    if input.kind == "timer":
        packed = ["timer", input.key, input.time_us, input.id, said, input.correlation]
    else:
        told = [said.command, said.code, said.text, dict(said.details)]
        packed = ["rejection", input.key, input.time_us, input.causation, told, input.correlation]
    return self._codec.encode(packed)


@pytest.fixture(params=["as it is stored", "as it was stored"])
def stored(request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """Has the inputs stored in either form until what it gives is called."""
    patch = pytest.MonkeyPatch()
    if request.param == "as it was stored":
        patch.setattr(RecordCodec, "pack_input", former)
    yield patch.undo
    patch.undo()


def run(path: Path, agency: Agency, *trips: str) -> None:
    """Refused at once, reminded once."""
    with opened(path, agency.domain) as system:
        for trip in trips:
            system.execute(agency.Ask(trip))
        system.wait_process_managers()
        system.advance(SOON)
        system.wait_process_managers()


def states(system: TestSystem) -> dict[str, Any]:
    return {key: state.heard for key, state in system.process_manager_states("saga")}


# -- what was heard ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "heard"),
    [
        ({}, ("full", "remind 1")),
        ({"timer": "gone"}, ("full",)),
        ({"timer": "changed"}, ("full", "remind 1 come")),
        ({"command": "gone"}, ("remind 1",)),
        ({"command": "changed", "handler": False}, ("remind 1",)),
        ({"command": "gone", "handler": False, "timer": "gone"}, ()),
    ],
)
def test_a_raised_version_goes_on_without_the_classes_that_none_of_its_handlers_wants(
    store_path: Path, stored: Callable[[], None], change: dict[str, Any], heard: tuple[str, ...]
) -> None:
    run(store_path, Agency(), "1")
    stored()
    second = Agency(2, **change)
    with opened(store_path, second.domain) as system:
        system.wait_process_managers()
        assert states(system) == {"1": heard}
        assert system.health().status == "ok"
        assert system.process_managers()[0].timers == 0
        with pytest.raises(NotStopped):
            system.skip_process_manager("saga")
        system.execute(second.Ask("2"))
        system.wait_process_managers()
        assert set(states(system)) == {"1", "2"}


def test_a_refused_command_that_changed_sets_its_instance_aside_alone_where_a_handler_takes_it(
    store_path: Path, stored: Callable[[], None]
) -> None:
    run(store_path, Agency(), "1")
    with opened(store_path, Agency().domain) as system:  # the others were never refused while it ran
        system.wait_process_managers()
    stored()
    second = Agency(2, command="changed")
    with pytest.raises(DomainError) as refused, opened(store_path, second.domain):
        pass
    [problem] = refused.value.problems
    assert "command Book has a new field 'nights'" in problem
    assert "; 1 record of process manager saga holds it; " in problem
    with opened(store_path, second.domain, accept=["Book"]) as system:
        with pytest.raises(
            ProcessManagerStopped,
            match=r"set aside instance '1' at the rejection of Book .*write an upcaster$",
        ):  # code mends it: there is no advice to skip it
            system.wait_process_managers()
        system.execute(second.Ask("2"))
        wait_until(lambda: states(system).get("2") == ("full 1",))
        with pytest.raises(
            NotStopped, match=r"1 of its instances is set aside: .*skip_instance has one skip its input"
        ):
            system.skip_process_manager("saga")
        [one] = system.quarantined_instances("saga")
        assert "Book cannot be built from its fields trip" in one.error
        system.skip_instance("saga", "1", "of old")
        system.wait_process_managers()
        assert states(system) == {"1": ("remind 1",), "2": ("full 1",)}  # what waited behind it was heard
    with opened(store_path, Agency(3, command="changed").domain) as system:
        system.wait_process_managers()
        assert states(system)["1"] == ("remind 1",)  # that it was skipped holds for other versions


def test_a_changed_command_that_is_mended_is_heard_in_its_place(store_path: Path) -> None:
    run(store_path, Agency(), "1")
    with opened(store_path, Agency(2, command="changed").domain, accept=["Book"]) as system:
        wait_until(lambda: system.process_managers()[0].quarantined == 1)
    with opened(store_path, Agency(2).domain, accept=["Book"]) as system:
        system.wait_process_managers()
        assert states(system) == {"1": ("full", "remind 1")}


# -- what waits ----------------------------------------------------------------------------------
@pytest.mark.parametrize("change", ["changed", "gone"])
def test_a_rejection_that_a_manager_was_stopped_at_is_named_and_skippable_in_the_next_release(
    store_path: Path, stored: Callable[[], None], change: str
) -> None:
    with opened(store_path, (first := Agency(faults=True)).domain) as system:
        system.execute(first.Ask("1"))
        wait_until(lambda: system.process_managers()[0].quarantined == 1)
    stored()
    for version in (1, 2):
        second = Agency(version, command=change)
        with opened(store_path, second.domain, accept=["Book"]) as system:
            if change == "gone" and version == 2:  # no handler of the new version can want it
                system.wait_process_managers()
                assert states(system) == {"1": ()}
                assert system.process_managers()[0].rejections == 1
                assert system.process_managers()[0].last_rejections[0].startswith("Book saga:1:0")
                continue
            with pytest.raises(
                ProcessManagerStopped, match=r"set aside instance '1' at the rejection of Book saga:1:0"
            ):
                system.wait_process_managers()
            if version == 2:
                system.skip_instance("saga", "1")
                system.wait_process_managers()
                assert states(system) == {"1": ()}


@pytest.mark.parametrize("change", ["changed", "gone"])
def test_a_rejection_that_waits_in_the_notes_is_read_by_the_next_release(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, stored: Callable[[], None], change: str
) -> None:
    with opened(store_path, (first := Agency()).domain) as system, monkeypatch.context() as patch:
        patch.setattr("actors.process_managers.manager_actor.ManagerActor._step_succeeded", lambda *_: None)
        patch.setattr("actors.process_managers.manager_actor.MAX_IN_FLIGHT", 1)
        patch.setattr("actors.process_managers.manager_actor.ManagerActor._settle", lambda *_: None)
        system.execute(first.Ask("1"))
        keys = inside.manager(system, "saga").keys
        wait_until(lambda: inside.notes(system, keys.rejections))
        system.close()
    stored()
    second = Agency(2, command=change)
    accept = [] if change == "gone" else ["Book"]
    with opened(store_path, second.domain, accept=accept) as system:
        if change == "gone":
            system.wait_process_managers()
            assert system.process_managers()[0].rejections == 1
        else:
            wait_until(lambda: system.process_managers()[0].quarantined == 1)
            assert system.skip_instance("saga", "1").startswith("saga:1:0:")
            system.wait_process_managers()
        system.execute(second.Ask("2"))
        system.wait_process_managers()
        assert set(states(system)) == {"1", "2"}


@pytest.mark.parametrize("change", ["changed", "gone"])
def test_a_timer_that_waits_for_a_class_that_is_not_there_sets_its_instance_aside_when_it_fires(
    store_path: Path, change: str
) -> None:
    with opened(store_path, (first := Agency()).domain) as system:
        system.execute(first.Ask("1"))
        system.wait_process_managers()
    second = Agency(1, timer=change)  # the version was not raised
    with opened(store_path, second.domain, accept=["Remind"]) as system:
        system.wait_process_managers()
        assert states(system) == {"1": ("full",)}  # the state can be read all the same
        system.advance(SOON)
        with pytest.raises(
            ProcessManagerStopped, match=r"set aside instance '1' at timer Remind saga:1:t0: .*Remind"
        ):
            system.wait_process_managers()
        system.skip_instance("saga", "1")
        system.wait_process_managers()
        assert system.process_managers()[0].timers == 0
        system.execute(second.Ask("2"))
        system.wait_process_managers()


def test_a_timer_that_waits_is_set_again_by_a_raised_version_or_not_at_all(store_path: Path) -> None:
    with opened(store_path, (first := Agency()).domain) as system:
        system.execute(first.Ask("1"))
        system.wait_process_managers()
    for version, timer, heard in ((2, "gone", ("full",)), (3, "changed", ("full", "remind 1 come"))):
        with opened(store_path, Agency(version, timer=timer).domain) as system:
            system.advance(SOON)
            system.wait_process_managers()
            assert states(system) == {"1": heard}


# -- effects -------------------------------------------------------------------------------------
def test_an_effect_whose_payload_holds_a_class_that_is_gone_is_parked_and_can_be_dropped(
    store_path: Path,
) -> None:
    with opened(store_path, (first := Agency(effect="value")).domain) as system:
        system.execute(first.Ask("1"))
        wait_until(lambda: system.effects("saga") and system.effects("saga")[0].attempts)
    second = Agency(effect="value gone")
    with opened(store_path, second.domain, accept=["Letter"]) as system:
        system.wait_process_managers()
        [one] = system.effects("saga")
        assert "no class is registered for the stored type 'Letter'" in one.parked
        assert all(actor.alive and not actor.restarts for actor in system.health().actors)
    mended = Agency(effect="mended")
    with opened(store_path, mended.domain) as system:
        [one] = system.effects("saga")
        system.retry_effect("saga", one.key)
        system.wait_process_managers()
        assert [payload[0].text for _, payload in mended.sent] == ["1"]
    assert second.sent == []


# -- another key ---------------------------------------------------------------------------------
def test_a_version_that_tells_instances_by_another_key_fires_no_timer_twice(store_path: Path) -> None:
    run(store_path, Agency(), "1", "2")
    second = Agency(2, key="who")
    with opened(store_path, second.domain) as system:
        system.wait_process_managers()
        assert states(system) == {
            "who of 1": ("full", "remind 1"),
            "who of 2": ("full", "remind 2"),
        }
        assert system.process_managers()[0].timers == 0
        heard = list(second.heard)
        system.advance(2 * SOON)
        system.wait_process_managers()
        assert second.heard == heard
