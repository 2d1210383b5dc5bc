"""Values inside one another: what is accepted can be read again, and what was stored too deeply is an event
to skip.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors import Domain, Rejected, System
from storage import CodecError, EventLog, UnencodableValue
from storage.codec.codec import Codec
from storage.codec.levels import MAX_LEVELS
from storage.codec.values import MAX_CONTAINERS
from storage.log.records import RecordedEvent
from tests.helpers import wait_until

nests = Domain("nests")


@nests.value
class Remark:
    on: Any


@nests.state(stream="nest-{name}")
class Nest:
    name: str
    value: Any


@nests.event(Nest)
class Built:
    name: str
    value: Any


@nests.command(Nest)
class Build:
    name: str
    value: Any


@nests.command(Nest)
class Deepen:
    name: str


@nests.decide
def build(nest: Nest | None, command: Build) -> Any:
    yield Built(command.name, command.value)


@nests.decide
def deepen(nest: Nest, command: Deepen) -> Any:
    yield Built(command.name, (nest.value,))


@nests.evolve
def built(nest: Nest | None, event: Built) -> Nest:
    return Nest(event.name, event.value)


found = nests.read_model("found")
rows = found.table("rows", key="position")


@found.on
def on_built(event: Built, tables: Any, recorded: Any) -> None:
    tables[rows].put({"position": recorded.position, "value": event.value})


def nested(levels: int, wrap: Callable[[Any], Any], value: Any = 1) -> Any:
    for _ in range(levels):
        value = wrap(value)
    return value


WRAPS = {
    "tuples": (lambda value: (value,), MAX_LEVELS),
    "frozensets": (lambda value: frozenset([value]), MAX_LEVELS),
    "values": (Remark, MAX_LEVELS),
    "lists": (lambda value: [value], MAX_CONTAINERS),
    "dicts": (lambda value: {"k": value}, MAX_CONTAINERS),
}


@pytest.mark.parametrize("kind", WRAPS)
def test_what_is_nested_as_deeply_as_may_be_is_stored_and_read_everywhere(
    store_path: Path, kind: str
) -> None:
    wrap, most = WRAPS[kind]
    value = nested(most, wrap)
    with System.open(store_path, nests, replicas=1) as system:
        by_command = system.execute(Build("a", value))
        by_append = system.append("nest-b", [Built("b", value)])
        assert [event.value for event in (*by_command.events, *by_append.events)] == [value, value]
        system.wait_applied()
        assert [row["value"] for row in system.dump("replica-1", found)["rows"]] == [value, value]
        system.execute(Build("a", 1), metadata={"of": value})
    with System.open(store_path, nests, replicas=1) as system:
        first, second, third = system.subscribe(until=3)
        assert [first.event.value, second.event.value] == [value, value]
        assert third.metadata == {"of": value}


@pytest.mark.parametrize("more", [1, 2, 16])
@pytest.mark.parametrize("kind", WRAPS)
def test_what_is_nested_more_deeply_is_refused_and_nothing_is_written(
    store_path: Path, kind: str, more: int
) -> None:
    wrap, most = WRAPS[kind]
    value = nested(most + more, wrap)
    with System.open(store_path, nests, replicas=1) as system:
        for call, where in (
            (lambda: system.execute(Build("a", value)), "Build.value"),
            (lambda: system.append("nest-a", [Built("a", value)]), "Built.value"),
            (lambda: system.execute(Build("a", 1), metadata={"of": [value]}), r"metadata\['of'\]\[0\]"),
        ):
            with pytest.raises(UnencodableValue, match=f"cannot encode {where}.*nested too deeply") as caught:
                call()
            assert len(str(caught.value)) < 400
        assert system.position == 0


def test_a_decider_that_nests_deeper_and_deeper_is_refused_in_time(store_path: Path) -> None:
    with System.open(store_path, nests, replicas=1) as system:
        system.execute(Build("a", nested(MAX_LEVELS - 1, lambda value: (value,))))
        system.execute(Deepen("a"))
        with pytest.raises(UnencodableValue, match="nested too deeply"):
            system.execute(Deepen("a"))
        assert system.position == 2


# -- events of versions without the limit ---------------------------------------------------------
OLD = {
    "33 tuples": nested(33, lambda value: (value,)),
    "48 frozensets": nested(48, lambda value: frozenset([value])),
    "40 values": nested(40, Remark),
    # With the record and its fields one more than msgpack unpacks, and as many as it packs.
    "1,023 lists": nested(1022, lambda value: [value], []),
}


def write_old(path: Path, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with an event that is nested so, another before and one after it, of one stream each."""
    System.open(path, nests, replicas=1).close()
    codec = Codec()
    codec.register(Remark)
    codec.register(Built)
    with monkeypatch.context() as patch:
        patch.setattr("storage.codec.levels.MAX_LEVELS", 64)
        patch.setattr("storage.codec.codec.MAX_CONTAINERS", 2048)
        with EventLog.open(path, codec, siblings=("replicas",)) as log:
            log.append(
                [
                    RecordedEvent(
                        position, f"nest-{position}", 1, Built(f"{position}", one), "Built", 0, f"c{position}"
                    )
                    for position, one in enumerate((1, value, 3), 1)
                ]
            )


@pytest.mark.parametrize("indexed", [True, False], ids=["closed", "not closed"])
@pytest.mark.parametrize("what", OLD)
def test_a_store_with_an_event_that_is_nested_too_deeply_opens_and_the_event_can_be_skipped(
    store_path: Path, what: str, indexed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.replication.backfill.RETRY_FIRST", 0.01)
    monkeypatch.setattr("actors.replication.backfill.RETRY_LAST", 0.01)
    with monkeypatch.context() as patch:
        if not indexed:  # The next opening reads the tail from the events.
            patch.setattr(EventLog, "_index_tail", lambda log: None)
        write_old(store_path, OLD[what], monkeypatch)
    with System.open(store_path, nests, replicas=1) as system:
        wait_until(lambda: system.health().problems)
        (failure,) = [model.failure for one in system.health().replicas for model in one.models]
        assert "nested too deeply" in failure
        with pytest.raises(CodecError, match="nested too deeply"):
            system.stream("nest-2")
        with pytest.raises(CodecError, match="nested too deeply"):
            system.execute(Deepen("2"))
        assert system.execute(Build("4", 4)).position == 4
        system.skip_event(found, 2, reason="nested too deeply")
        system.wait_applied()
        assert [row["position"] for row in system.dump("replica-1", found)["rows"]] == [1, 3, 4]
        assert system.health().status == "ok"
        with pytest.raises(Rejected):
            system.execute(Deepen("5"))


def test_a_row_that_is_nested_too_deeply_stops_its_model_alone(store_path: Path) -> None:
    deep = Domain("deep")
    deep.value(Remark)

    @deep.event(state=None)
    class Said:
        value: Any

    def project(name: str, wrap: Callable[[Any], Any]) -> None:
        model = deep.read_model(name)
        table = model.table("rows", key="position")

        @model.on(Said)
        def on_said(event: Any, tables: Any, recorded: Any) -> None:
            tables[table].put({"position": recorded.position, "value": wrap(event.value)})

    project("good", lambda one: (one,))
    project("tuples", lambda one: ((one,),))
    project("lists", lambda one: nested(MAX_CONTAINERS, lambda inner: [inner], one))
    with System.open(store_path, deep, replicas=1) as system:
        system.append("a", [Said(nested(MAX_LEVELS - 1, lambda one: (one,), nested(30, lambda one: [one])))])
        wait_until(lambda: len(system.health().problems) == 2)
        failures = {model.name: model.failure for one in system.health().replicas for model in one.models}
        assert failures["good"] is None
        assert "nested too deeply" in failures["tuples"]
        assert "nested too deeply" in failures["lists"]
