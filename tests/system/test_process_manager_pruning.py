"""What a manager keeps of firings and refusals goes again, and a raised version is right with what
is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from actors import Do, Domain, DomainError, ProcessManagerStopped, Rejected
from actors.process_managers import input_history
from actors.process_managers.input_history import InputHistory
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.records import ManagerMetadata
from actors.testing import TestSystem
from tests import inside
from tests.helpers import wait_until
from tests.system.test_process_manager_releases import former
from tests.system.test_process_managers import opened

SECOND = timedelta(seconds=1)
CARD = "4111-1111"


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_history, "MAX_HISTORY", 5)


def getattr_of(name: str, event: Any) -> Any:
    return getattr(event, name)


class Reader:
    """A key function with what it reads in it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, event: Any) -> Any:
        return getattr(event, self.name)


class Hearts:
    """Hearts that beat each second, each with a card that is refused at its beginning."""

    def __init__(self, version: int = 1, *, key: Any = "name", state: str = "", timer: bool = True) -> None:
        self.ticks: list[str] = []
        domain = self.domain = Domain("hearts")

        @domain.event(state=None)
        class Begun:
            name: str
            who: str

        @domain.event(state=None)
        class Ended:
            name: str
            who: str

        @domain.state(stream="card-{name}")
        class Account:
            name: str

        @domain.command(Account)
        class Charge:
            name: str
            card: str

        @domain.decide(Charge)
        def charge(account: Any, command: Any) -> Any:
            raise Rejected("no money", code="no")

        self.Begun, self.Ended = Begun, Ended
        heart = domain.process_manager("heart", key=key, start="beginning", version=version)
        beating: Any
        if state == "more":

            @heart.state(name="Beating")
            class BeatingMore:
                name: str
                beats: int = 0
                more: str = "more"

            beating = BeatingMore
        elif state == "renamed":

            @heart.state
            class Heart:
                name: str
                beats: int = 0

            beating = Heart
        else:

            @heart.state
            class Beating:
                name: str
                beats: int = 0

            beating = Beating

        beat_of: Any = None
        if timer:

            @heart.timer
            class Beat:
                name: str

            beat_of = Beat

        @heart.on(Begun)
        def on_begun(state: None, event: Any, do: Do) -> Any:
            do.execute(Charge(event.name, CARD))
            if beat_of is not None:
                do.after(SECOND, beat_of(event.name))
            return beating(event.name)

        @heart.on(Ended)
        def on_ended(state: beating, event: Any, do: Do) -> None:
            do.end()

        on_ended.__annotations__["state"] = beating

        @heart.on_rejected(Charge)
        def on_refused(state: Any, rejection: Any, do: Do) -> None:
            do.effect("tick", "refused")

        def on_beat(state: Any, timer: Any, do: Do) -> Any:
            do.effect("tick", state.beats + 1)
            do.after(SECOND, timer)
            return beating(state.name, state.beats + 1)

        if beat_of is not None:
            heart.on_timer(beat_of)(on_beat)

        @heart.effect("tick")
        def tick(payload: Any, key: str) -> None:
            self.ticks.append(key)


def put(system: TestSystem, event: type, *names: str) -> None:
    system.append("hearts", [event(name, f"who {name}") for name in names])
    system.wait_process_managers()


def beat(system: TestSystem, times: int) -> None:
    for _ in range(times):
        system.advance(SECOND)
        system.wait_process_managers()


def notes(system: TestSystem, kind: str) -> list[tuple[bytes, bytes]]:
    return inside.notes(system, f"pm/heart/{kind}/".encode())


def beats(system: TestSystem) -> dict[str, int]:
    return {key: state.beats for key, state in system.process_manager_states("heart")}


# -- what is kept --------------------------------------------------------------------------------
def test_what_an_instance_heard_is_bounded_however_long_it_lives(store_path: Path) -> None:
    hearts = Hearts()
    with opened(store_path, hearts.domain) as system:
        put(system, hearts.Begun, "a", "b")
        for _ in range(4):
            beat(system, 10)
            assert len(notes(system, "past")) == len(notes(system, "heard")) <= 2 * 6
        assert beats(system) == {"a": 40, "b": 40}
        assert len(notes(system, "checkpoint")) == len(notes(system, "fired")) == 2


def test_a_refused_command_is_gone_once_its_instance_has_ended(store_path: Path) -> None:
    hearts = Hearts()

    def with_cards(system: TestSystem) -> list[bytes]:
        return [key for key, value in inside.notes(system, b"pm/") if CARD.encode() in value]

    with opened(store_path, hearts.domain) as system:
        put(system, hearts.Begun, "a", "b")
        assert len(with_cards(system)) == 2
        put(system, hearts.Ended, "a")
        assert len(with_cards(system)) == 1
        put(system, hearts.Ended, "b")
        assert with_cards(system) == []
        assert notes(system, "past") == notes(system, "heard") == []
        assert system.process_manager_states("heart") == []


@pytest.mark.parametrize("at_once", [1, 10])
@pytest.mark.parametrize("ends", [True, False], ids=["that ends", "that lives"])
def test_what_is_known_of_timers_that_fired_is_bounded_for_an_instance(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, ends: bool, at_once: int
) -> None:
    monkeypatch.setattr(input_history, "MAX_FIRED_TIMERS", 5)
    tests = Domain("tests")

    @tests.event(state=None)
    class Rang:
        name: str

    heart = tests.process_manager("heart", key="name", start="beginning")

    @heart.state
    class Ringing:
        name: str

    @heart.timer
    class Soon:
        name: str

    @heart.on(Rang)
    def on_rang(state: Any, event: Any, do: Do) -> Any:
        do.after(timedelta(0), Soon(event.name))
        return Ringing(event.name)

    @heart.on_timer(Soon)
    def on_soon(state: Any, timer: Any, do: Do) -> None:
        if ends:
            do.end()

    for _ in range(2):
        with opened(store_path, tests) as system:
            for _ in range(40 // at_once):
                system.append("bells", [Rang("a") for _ in range(at_once)])
                system.wait_process_managers()
            fired = {key for key, _ in notes(system, "fired")}
            assert len(fired) == 5
            [(_, snapshot)] = notes(system, "checkpoint")
            listed = RecordCodec(tests.compile().codec).snapshot(snapshot).fired
            assert {b"pm/heart/fired/" + id for id in listed} == fired


# -- another version -----------------------------------------------------------------------------
def live(path: Path, key: Any = "name") -> Hearts:
    """An old heart that beat 20 times and a young one that did 3 times, which has lived before; others have
    ended.
    """
    hearts = Hearts(key=key)
    with opened(path, hearts.domain) as system:
        put(system, hearts.Begun, "old", "young", "gone")
        beat(system, 20)
        put(system, hearts.Ended, "young", "gone")
    with opened(path, hearts.domain) as system:  # whose clock is not ahead any more
        put(system, hearts.Begun, "young")
        beat(system, 3)
        assert beats(system) == {"old": 20, "young": 3}
        assert len(set(hearts.ticks)) == len(hearts.ticks) == 4 + 63
    return hearts


@pytest.mark.parametrize("state", ["", "more"])
def test_a_raised_version_begins_from_what_is_left_and_does_nothing_twice(
    store_path: Path, state: str
) -> None:
    first = live(store_path)
    for version in (2, 3):
        second = Hearts(version, state=state)
        with opened(store_path, second.domain) as system:
            system.wait_process_managers()
            assert beats(system) == {"old": 20, "young": 3}
            [manager] = system.process_managers()
            assert (manager.instances, manager.timers) == (2, 2)
            assert second.ticks == []
            assert all(
                getattr(one, "more", "more") == "more" for _, one in system.process_manager_states("heart")
            )
    with opened(store_path, second.domain) as system:
        beat(system, 30)
        assert beats(system)["old"] > 23
        assert beats(system)["young"] > 23
        assert len(set(second.ticks)) == len(second.ticks) == sum(beats(system).values()) - 23
        assert not set(second.ticks) & set(first.ticks)


def test_a_state_that_stands_for_what_is_forgotten_and_cannot_be_read_sets_its_instance_aside(
    store_path: Path,
) -> None:
    live(store_path)
    renamed = Hearts(2, state="renamed").domain
    # Only of the old one there is no more than its state: the young one's is built again.
    holds = "; 1 record of process manager heart holds it; if it is Heart"
    with pytest.raises(DomainError, match=holds), opened(store_path, renamed):
        pass
    with opened(store_path, renamed, accept=["Beating"]) as system:
        with pytest.raises(
            ProcessManagerStopped, match="set aside instance 'old' at its state as of what is forgotten of it"
        ):
            system.wait_process_managers()
        assert beats(system) == {"young": 3}
        [one] = system.quarantined_instances("heart")
        assert "no class is registered for the stored type 'Beating'" in one.error
    with opened(store_path, Hearts(3).domain) as system:  # a release that has the class goes on with it
        wait_until(lambda: not system.process_managers()[0].quarantined)
        system.wait_process_managers()
        assert beats(system) == {"old": 20, "young": 3}
    with opened(store_path, Hearts(4, state="renamed").domain, accept=["Beating"]) as system:
        wait_until(lambda: system.process_managers()[0].quarantined == 1)
        system.skip_instance("heart", "old", "its beats are not needed")
        system.wait_process_managers()
        assert beats(system) == {"young": 3}
        assert system.health().status == "ok"


def test_timers_of_a_state_that_stands_for_the_past_go_with_their_class(store_path: Path) -> None:
    live(store_path)
    with opened(store_path, Hearts(2, timer=False).domain) as system:
        system.wait_process_managers()
        # The state of the old one stands for 17 beats; those that are known one by one go with their timers.
        assert beats(system) == {"old": 17, "young": 0}
        assert system.process_managers()[0].timers == 0
        beat(system, 3)
        assert system.health().status == "ok"


def test_another_key_fires_nothing_again_whose_past_is_forgotten(store_path: Path) -> None:
    first = live(store_path)
    second = Hearts(2, key="who")
    with opened(store_path, second.domain) as system:
        position = system.position
        system.wait_process_managers()
        # Of "old" nothing is left but its events, so it beats no more; "young" is known as it is.
        assert beats(system) == {"who old": 0, "who young": 3}
        beat(system, 30)
        assert beats(system)["who old"] == 0
        assert beats(system)["who young"] > 23
        assert not set(second.ticks) & set(first.ticks)
        assert len(set(second.ticks)) == len(second.ticks) == beats(system)["who young"] - 3
        assert system.position == position


def by(name: str) -> Any:
    return lambda event: getattr(event, name)


def by_name(event: Any) -> Any:
    return event.name


def by_who(event: Any) -> Any:
    return event.who


by_who.__qualname__ = by_name.__qualname__


@pytest.mark.parametrize(
    ("before", "same", "other"),
    [
        (lambda event: event.name, lambda event: event.name, lambda event: event.who),
        (by_name, lambda event: event.name, by_who),
        (by("name"), by("name"), by("who")),
        (partial(getattr_of, "name"), partial(getattr_of, "name"), partial(getattr_of, "who")),
        (Reader("name"), Reader("name"), Reader("who")),
        (attrgetter("name"), attrgetter("name"), attrgetter("who")),
    ],
    ids=["lambdas", "one name", "closures", "partials", "callables", "getters"],
)
def test_a_key_function_that_tells_other_instances_leaves_none_of_the_former(
    store_path: Path, before: Any, same: Any, other: Any
) -> None:
    live(store_path, key=before)
    with opened(store_path, Hearts(2, key=same).domain) as system:
        system.wait_process_managers()
        assert beats(system) == {"old": 20, "young": 3}
    with opened(store_path, Hearts(3, key=other).domain) as system:
        system.wait_process_managers()
        assert beats(system) == {"who old": 0, "who young": 3}


@pytest.mark.parametrize("told", ["Hearts.<locals>.key()", "(3.9.1 0123456789abcdef)"])
def test_what_another_python_or_a_former_checkout_told_of_a_key_function_is_told_anew_by_the_same_version(
    store_path: Path, told: str
) -> None:
    live(store_path, key=by_name)
    with opened(store_path, Hearts(key=by_name).domain) as system:
        log, keys = inside.log(system), inside.manager(system, "heart").keys
        codec = Hearts().domain.compile().codec
        metadata = ManagerMetadata.unpack(codec, log.note(keys.metadata))
        before = replace(
            metadata, key_fingerprints=dict.fromkeys(metadata.key_fingerprints or (), told)
        ).pack(codec)
        inside.put_notes(system, (keys.metadata, before))
    with opened(store_path, Hearts(key=by_name).domain) as system:
        system.wait_process_managers()
    with opened(store_path, Hearts(2, key=by_name).domain) as system:
        system.wait_process_managers()
        assert beats(system) == {"old": 20, "young": 3}


# -- stores of old -------------------------------------------------------------------------------
@pytest.fixture
def of_old() -> Iterator[pytest.MonkeyPatch]:
    """Nothing is pruned, and inputs are stored as they were."""
    patch = pytest.MonkeyPatch()
    patch.setattr(input_history, "MAX_HISTORY", 10**9)
    patch.setattr(RecordCodec, "pack_input", former)
    patch.setattr(RecordCodec, "pack_handled", RecordCodec.pack_input)
    patch.setattr(InputHistory, "replace_by_snapshot", lambda *_: None)
    yield patch
    patch.undo()


@pytest.mark.parametrize("version", [1, 2])
def test_what_checkouts_of_old_kept_is_known_and_goes_too(
    store_path: Path, of_old: pytest.MonkeyPatch, version: int
) -> None:
    first = Hearts()
    with opened(store_path, first.domain) as system:
        put(system, first.Begun, "a", "b")
        beat(system, 30)
        log, keys = inside.log(system), inside.manager(system, "heart").keys
        assert len(notes(system, "past")) == 62
        system.wait_process_managers()
        index = [(key, None) for key, _ in log.notes(keys.history_index)]
        metadata = RecordCodec(first.domain.compile().codec)._codec.decode(log.note(keys.metadata))
        old = [(keys.indexed, None), (keys.metadata, first.domain.compile().codec.encode(metadata[:5]))]
        inside.put_notes(system, *index, *old)
    of_old.undo()
    second = Hearts(version)
    with opened(store_path, second.domain) as system:
        system.wait_process_managers()
        assert beats(system) == {"a": 30, "b": 30}
        assert second.ticks == []
        system.advance(40 * SECOND)
        system.wait_process_managers()
        assert beats(system)["a"] >= 35
        assert len(notes(system, "past")) == len(notes(system, "heard")) <= 2 * 6
        put(system, second.Ended, "a", "b")
        assert notes(system, "past") == notes(system, "heard") == []
