"""Keys that leave the store: no two things that are asked for have one key, in whichever stores; one has the
same for ever.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from actors import Do, Domain, InvalidMessage
from actors.process_managers.inputs import Decision, Input, Issued
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.records import OutboxEntry
from actors.process_managers.unique_ids import LONGEST_KEY, UniqueIds
from actors.testing import TestSystem
from storage import Codec, EventLog
from tests.helpers import wait_until
from tests.system.jobs import Begin, Begun, Undo, Undone, Work, Worked, World, jobs_of, unmarked
from tests.system.test_process_managers import events_of, opened, works

# A copy is no store of its own until it is opened with these. An original is opened without them.
ADOPTED = {"managers": True}


def copied(store: Path, to: Path) -> Path:
    """A backup of a closed store: its log alone, in a folder of its own."""
    to.mkdir()
    shutil.copy(store / "data.mdb", to / "data.mdb")
    return to


def keys_after(path: Path, *jobs: str, **settings: Any) -> list[str]:
    """The keys that the outside is told when these jobs are begun in the store."""
    world = World()
    with opened(path, jobs_of(world), **settings) as system:
        for job in jobs:
            system.execute(Begin(job))
            system.wait_process_managers()
        system.wait_process_managers()
    return [key for _, key in world.sent]


# -- effects -------------------------------------------------------------------------------------
def test_two_stores_give_what_they_ask_for_at_one_position_two_keys(tmp_path: Path) -> None:
    [north], [south] = keys_after(tmp_path / "north", "a"), keys_after(tmp_path / "south", "a")
    assert unmarked(north) == unmarked(south) == "worker:2:e0"
    assert north != south


@pytest.mark.parametrize("place", ["in its place", "beside it"])
def test_a_restored_store_gives_new_work_other_keys_than_what_was_lost(tmp_path: Path, place: str) -> None:
    store = tmp_path / "store"
    [first] = keys_after(store, "a")
    backup = copied(store, tmp_path / "backup")
    [lost] = keys_after(store, "b")
    if place == "in its place":
        shutil.copy(backup / "data.mdb", store / "data.mdb")
    else:
        store = backup
    [found] = keys_after(store, "b", **ADOPTED)
    assert unmarked(lost) == unmarked(found) == "worker:4:e0"
    assert len({first, lost, found}) == 3


def test_what_a_store_and_its_copy_find_undone_has_one_key_in_both(tmp_path: Path) -> None:
    with opened(tmp_path / "store", jobs_of(manager=False)) as system:
        system.execute(Begin("a"))
        system.append("desk-a", [Worked("a", "from outside")])
    copied(tmp_path / "store", tmp_path / "backup")
    found = keys_after(tmp_path / "store")
    # Also what came of the command that it is the first to execute.
    assert [unmarked(key) for key in found] == ["worker:2:e0", "worker:3:e0"]
    assert keys_after(tmp_path / "backup", **ADOPTED) == found


def test_an_effect_keeps_its_key_over_restarts_attempts_and_a_restore(tmp_path: Path) -> None:
    store = tmp_path / "store"

    def send(_payload: Any, _key: str) -> None:
        raise ConnectionError("nobody answers")

    worlds = [World(send=send), World(send=send), World(), World()]
    with opened(store, jobs_of(worlds[0])) as system:
        system.execute(Begin("a"))
        wait_until(lambda: system.process_managers()[0].parked)
        [parked] = system.effects("worker")
    copied(store, tmp_path / "backup")
    with opened(store, jobs_of(worlds[1])) as system:
        system.retry_effect("worker", parked.key)
        wait_until(lambda: system.process_managers()[0].parked)
    both: list[tuple[World, Path, dict[str, bool]]] = [
        (worlds[2], store, {}),
        (worlds[3], tmp_path / "backup", ADOPTED),
    ]
    for world, path, settings in both:
        with opened(path, jobs_of(world), **settings) as system:
            system.retry_effect("worker", parked.key)
            system.wait_process_managers()
    assert [len(world.sent) for world in worlds] == [3, 3, 1, 1]
    assert {key for world in worlds for _, key in world.sent} == {parked.key}


def test_effects_of_a_store_from_before_keep_their_keys_and_their_answers_ids(tmp_path: Path) -> None:
    world = World(send=lambda payload, _key: Undo(payload[0], "answered"))
    with opened(tmp_path / "store", jobs_of(world)) as system:
        system.execute(Begin("a", "idle"))
        system.wait_process_managers()
    domain = jobs_of(world).compile()
    keys, values = RecordKeys("worker"), RecordCodec(domain.codec)
    with EventLog.open(tmp_path / "store", domain.codec, siblings=["replicas"]) as log:
        waits = OutboxEntry("worker:1:e0", "a", "tell", ["a", "waited"], 1, "c")
        parked = OutboxEntry("worker:1:e1", "b", "tell", ["b", "parked"], 1, "c", "down", 3)
        dropped = OutboxEntry("worker:1:e2", "c", "tell", ["c", "dropped"], 1, "c", "down", 3)
        log.append(
            [],
            notes=[
                (keys.effect(1, 0), values.pack_entry(waits)),
                (keys.parked + keys.effect(1, 1)[len(keys.due) :], values.pack_entry(parked)),
                (keys.parked + keys.effect(1, 2)[len(keys.due) :], values.pack_entry(dropped)),
            ],
        )
    with opened(tmp_path / "store", jobs_of(world)) as system:
        system.execute(Begin("b", "idle"))
        system.retry_effect("worker", "worker:1:e1")
        system.drop_effect("worker", "worker:1:e2")
        system.wait_process_managers()
        assert [key for _, key in world.sent] == ["worker:1:e0", "worker:1:e1"]
        answers = [one.command_id for one in system.recorded_events() if type(one.event) is Undone]
        assert answers == ["worker:1:e0:0", "worker:1:e1:0"]
        assert system.effects("worker") == []


# -- deliveries ----------------------------------------------------------------------------------
def delivered(path: Path, *jobs: str, name: str = "mail", **settings: Any) -> list[str]:
    """The keys of the deliveries that a consumer gets after these jobs are begun."""
    with opened(path, jobs_of(manager=False), **settings) as system:
        for job in jobs:
            system.execute(Begin(job, "idle"), command_id=f"begin {job}")
        return [one.key for one in system.consumer(name, timeout=0) if one.ack(wait=True)]


def test_a_delivery_has_a_key_that_no_other_event_has_in_any_store(tmp_path: Path) -> None:
    store = tmp_path / "store"
    [first] = delivered(store, "a")
    backup = copied(store, tmp_path / "backup")
    [lost], [found] = delivered(store, "b"), delivered(backup, "b", **ADOPTED)
    [other] = delivered(tmp_path / "o", "a")
    assert len({first, lost, found, other}) == 4
    assert delivered(store, name="another") == [first, lost]
    assert delivered(backup, name="another") == [first, found]
    assert all(key.isascii() and len(key) <= 60 for key in (first, lost))


# -- commands ------------------------------------------------------------------------------------
def test_commands_of_two_stores_have_two_ids_and_a_rebuild_gives_none_again(tmp_path: Path) -> None:
    found = []
    for name in ("north", "south"):
        with opened(tmp_path / name, jobs_of()) as system:
            system.execute(Begin("a"))
            system.wait_process_managers()
            found += [one.command_id for one in system.recorded_events() if type(one.event) is Worked]
        with opened(tmp_path / name, jobs_of(version=2)) as system:
            system.wait_process_managers()
            assert works(system) == {"a": 1}
    assert [unmarked(one) for one in found] == ["worker:1:0"] * 2
    assert len(set(found)) == 2


FORMS = [
    "worker:3:0",
    "worker:3:e0:0",
    "worker:3:t0:0:r:1",
    "worker:12:0:" + "ab" * 12,
    "worker:" + "0f" * 16,
]


@pytest.mark.parametrize("id", [*FORMS, "worker:" + "0f" * 16 + ":0", "worker:3:0\n"])
def test_a_callers_command_id_cannot_be_one_of_a_managers(store_path: Path, id: str) -> None:
    with opened(store_path, jobs_of()) as system:
        calls: list[Callable[[], Any]] = [
            lambda: system.execute(Begin("a"), command_id=id),
            lambda: system.submit(Begin("a"), command_id=id).result(),
            lambda: asyncio.run(system.aexecute(Begin("a"), command_id=id)),
            lambda: system.append("desk-a", [Worked("a", "")], command_id=id),
        ]
        for call in calls:
            with pytest.raises(
                InvalidMessage, match="has the form of the ids that process manager 'worker' gives"
            ):
                call()
        assert system.position == 0


def test_the_key_of_an_effect_is_the_id_of_a_command_in_another_store_of_the_same_domain(
    tmp_path: Path,
) -> None:
    with opened(tmp_path / "other", jobs_of()) as other:
        world = World(
            send=lambda _payload, key: other.execute(Begin("from a", "idle"), command_id=key) and None
        )
        with opened(tmp_path / "own", jobs_of(world)) as own:
            own.execute(Begin("a"))
            own.wait_process_managers()
        [(_, key)] = world.sent
        assert other.execute(Begin("from a", "idle"), command_id=key).last == other.position == 1


def test_other_command_ids_are_the_callers_own(store_path: Path) -> None:
    with opened(store_path, jobs_of()) as system:
        for number, id in enumerate(
            ("worker", "worker:a:0", "worker:3", "workers:3:0", "another:3:0", "3:0")
        ):
            assert system.execute(Begin(f"j{number}", "idle"), command_id=id).command_id == id


def test_an_id_that_a_caller_took_when_it_was_free_stops_no_manager(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, opened(store_path, jobs_of()) as system:
        patch.setattr("actors.writer.submission_factory.refuse_reserved", lambda _id, _managers: None)
        system.execute(Begin("a", "idle"), command_id="worker:2:0")
    with opened(store_path, jobs_of()) as system:
        system.execute(Begin("b"))
        system.wait_process_managers()
        assert works(system) == {"b": 1}
        assert [
            unmarked(one.command_id) for one in system.recorded_events() if type(one.event) is Worked
        ] == ["worker:2:0"]


# -- the ids themselves --------------------------------------------------------------------------
EVENT = Input("event", "worker:7", "a", Begun("a", ""), 1_000, "command", "correlation", 7)


def ids_of(input: Input, *, history: str = "h", payload: Any = None, commands: int = 1) -> list[str]:
    decision = Decision(Any)  # type: ignore[arg-type]
    decision.commands = [Issued(f"{input.id}:{number}", Work("a")) for number in range(commands)]
    decision.effects = [Issued(f"{input.id}:e0", payload, "tell")]
    UniqueIds(history, Codec()).give(input, decision)
    return [one.id for one in (*decision.commands, *decision.effects)]


def test_ids_depend_on_where_they_come_from_and_on_nothing_else() -> None:
    assert ids_of(EVENT) == ids_of(replace(EVENT))
    others = [
        ids_of(EVENT, history="i"),
        *(
            ids_of(replace(EVENT, **{name: value}))
            for name, value in {
                "causation": "another",
                "correlation": "another",
                "key": "b",
                "id": "worker:8",
            }.items()
        ),
        # No two texts beside each other are taken for two others.
        ids_of(replace(EVENT, causation="commandc", correlation="orrelation")),
    ]
    for place in (0, 1):
        assert len({ids[place] for ids in [ids_of(EVENT), *others]}) == 1 + len(others)
    assert ids_of(EVENT, payload=1)[0] == ids_of(EVENT, payload=2)[0]
    assert ids_of(EVENT, payload=1)[1] != ids_of(EVENT, payload=2)[1]


@pytest.mark.parametrize("kind", ["event", "rejection"])
def test_ids_do_not_depend_on_when_a_command_was_done_or_refused(kind: str) -> None:
    input = replace(EVENT, kind=kind)
    assert ids_of(input) == ids_of(replace(input, time_us=2_000))


@pytest.mark.parametrize("changes", [{"kind": "timer"}, {"causation": None}])
def test_ids_depend_on_the_time_of_what_no_command_tells(changes: dict[str, Any]) -> None:
    input = replace(EVENT, **changes)
    assert ids_of(input) != ids_of(replace(input, time_us=2_000))


def test_keys_are_short_and_plain_however_long_their_way_was(store_path: Path) -> None:
    domain = Domain("deep")

    @domain.event(state=None)
    class Went:
        who: str
        steps: int

    walk = domain.process_manager("w" * 60, key="who", start="beginning")

    @walk.state
    class Walk:
        who: str
        left: int

    @walk.timer
    class Step:
        who: str

    def on(state: Any, do: Do) -> Any:
        do.effect("tell", state.left)
        if state.left:
            do.after(timedelta(0), Step(state.who))
        return replace(state, left=state.left - 1)

    @walk.on
    def on_went(state: None, event: Went, do: Do) -> Walk:
        return on(Walk(event.who, event.steps), do)

    @walk.on_timer
    def on_step(state: Walk, timer: Step, do: Do) -> Walk:
        return on(state, do)

    keys: list[str] = []

    @walk.effect("tell")
    def tell(_payload: Any, key: str) -> None:
        keys.append(key)

    with TestSystem.open(store_path, domain, replicas=1) as system:
        system.append("walks", [Went("Ünal 走", 60)])
        system.wait_process_managers()
        assert events_of(system, Went)
    assert len(set(keys)) == 61
    assert all(re.fullmatch(r"w{60}:.*:e0:[0-9a-f]{24}", key) for key in keys)
    assert all(key.isascii() and key.isprintable() and len(key) <= LONGEST_KEY for key in keys)
