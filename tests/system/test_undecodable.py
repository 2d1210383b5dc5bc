"""Events that the domain can't decode any more: a class or a field was removed from it while the log has
them.
"""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors import Domain, ModelStopped, Rejected, System
from storage import CodecError, UnknownType
from tests import inside
from tests.helpers import wait_until

GONE = 3
"""The position of the event that can't be decoded in a later generation of the domain."""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped models are tried again at every tick of the supervisor."""
    monkeypatch.setattr("actors.replication.backfill.RETRY_FIRST", 0.01)
    monkeypatch.setattr("actors.replication.backfill.RETRY_LAST", 0.01)


def generation(*, scrapped: bool = True, with_why: bool = True, names: bool = True) -> SimpleNamespace:
    """One generation of the domain: with the event or without, with its field, with the second model."""
    # The classes have no module-level names, since a later generation's have the same ones.
    domain = Domain("parts")
    fails: set[str] = set()

    @domain.state(stream="part-{id}")
    class Part:
        id: str

    @domain.event(Part)
    class Made:
        id: str

    @domain.command(Part)
    class Make:
        id: str

    @domain.decide
    def make(part: Part | None, command: Make) -> Any:
        yield Made(command.id)

    @domain.evolve
    def made(part: Part | None, event: Made) -> Part:
        return Part(event.id)

    stock = domain.read_model("stock")
    parts = stock.table("parts", key="position")

    @stock.on
    def on_made(event: Made, tables: Any, recorded: Any) -> None:
        if event.id in fails:
            raise RuntimeError(f"can't stand {event.id}")
        tables[parts].put({"position": recorded.position, "id": event.id})

    found = SimpleNamespace(domain=domain, Make=Make, stock=stock, parts=parts, fails=fails)

    if names:
        found.names = domain.read_model("names")
        found.known = found.names.table("known", key="id")

        @found.names.on
        def note_name(event: Made, tables: Any) -> None:
            tables[found.known].put({"id": event.id})

    if scrapped:

        @domain.event(Part)
        class Scrapped:
            id: str
            if with_why:
                why: str

        @domain.command(Part)
        class Scrap:
            id: str

        @domain.decide
        def scrap(part: Part, command: Scrap) -> Any:
            yield Scrapped(command.id, "rust") if with_why else Scrapped(command.id)

        @domain.evolve
        def was_scrapped(part: Part, event: Scrapped) -> Part:
            return part

        found.Scrap = Scrap
        found.Scrapped = Scrapped
    return found


LATER = {
    "a class is gone": ({"scrapped": False}, "UnknownType: .*Scrapped"),
    "a field is gone": ({"with_why": False}, "CodecError: .*why"),
}


def write(path: Path, *, keep_first: int = 0, **options: bool) -> None:
    """Four events, of which the third is `Scrapped`; the replicas then have the first `keep_first`
    of them.
    """
    first = generation(**options)
    commands = [first.Make("a"), first.Make("b"), first.Scrap("a"), first.Make("c")]
    kept = path.parent / "kept"
    with System.open(path, first.domain, replicas=2) as system:
        system.execute_many(commands[:keep_first])
        system.wait_applied()
    shutil.copytree(path / "replicas", kept)
    with System.open(path, first.domain, replicas=2) as system:
        system.execute_many(commands[keep_first:])
        system.wait_applied()
    shutil.rmtree(path / "replicas")
    if keep_first:
        shutil.copytree(kept, path / "replicas")


def models(system: System) -> list[Any]:
    return [model for replica in system.health().replicas for model in replica.models]


def tried_again(system: System, times: int = 3) -> bool:
    """Whether every stopped model was tried that often."""
    return all(run.failure is None or run.failure.attempts >= times for run in inside.model_runs(system))


def restarts(system: System) -> int:
    return sum(actor.restarts for actor in system.health().actors)


def ids(system: System, now: SimpleNamespace) -> list[str]:
    with system.view(now.stock, consistency="strong") as view:
        return [row["id"] for row in view[now.parts].all()]


# -- the read side ----------------------------------------------------------------------------
@pytest.mark.parametrize("keep_first", [0, 1, 2], ids=["new replicas", "behind by two", "just before it"])
@pytest.mark.parametrize("what", LATER)
def test_an_event_that_can_not_be_decoded_stops_the_models_there_until_it_can(
    store_path: Path, what: str, keep_first: int
) -> None:
    options, error = LATER[what]
    write(store_path, keep_first=keep_first)
    later = generation(**options)
    with System.open(store_path, later.domain, replicas=2, accept=["Scrapped"]) as system:
        wait_until(lambda: len(system.health().problems) == 4)
        wait_until(lambda: tried_again(system))
        assert {model.stopped_at for model in models(system)} == {GONE}
        assert {model.applied for model in models(system)} == {GONE - 1}
        for model in models(system):
            assert f"at position {GONE}" in model.failure
            assert re.search(error, model.failure)
        with pytest.raises(ModelStopped, match=error):
            system.view(later.stock)
        with pytest.raises(ModelStopped, match=error):
            system.wait_applied()
        assert system.execute(later.Make("d")).first == 5
        assert [one.position for one in system.subscribe(until=GONE - 1)] == [1, 2]
        with pytest.raises(CodecError):
            list(system.subscribe(until=GONE))
        assert restarts(system) == 0
    whole = generation()
    with System.open(store_path, whole.domain, replicas=2, accept=["Scrapped"]) as system:
        system.wait_applied()
        assert system.health().status == "ok"
        assert ids(system, whole) == ["a", "b", "c", "d"]
        assert system.dump("replica-1", whole.names) == system.dump("replica-2", whole.names)


def test_models_go_on_by_themselves_once_the_event_can_be_decoded(store_path: Path) -> None:
    write(store_path)
    later = generation(scrapped=False)
    with System.open(store_path, later.domain, replicas=2, accept=["Scrapped"]) as system:
        wait_until(lambda: len(system.health().problems) == 4)
        system.execute(later.Make("d"))
        inside.codec(system).register(generation().Scrapped)
        wait_until(lambda: system.health().status == "ok")
        system.execute(later.Make("e"))
        assert ids(system, later) == ["a", "b", "c", "d", "e"]
        assert restarts(system) == 0


def test_a_model_that_stopped_before_it_misses_nothing_of_what_lies_between(store_path: Path) -> None:
    write(store_path)
    later = generation(scrapped=False)
    later.fails.add("a")
    with System.open(store_path, later.domain, replicas=1, accept=["Scrapped"]) as system:
        wait_until(lambda: [model.stopped_at for model in models(system)] == [1, GONE])
        inside.codec(system).register(generation().Scrapped)
        wait_until(lambda: [model.stopped_at for model in models(system)] == [1, None])
        later.fails.clear()
        wait_until(lambda: system.health().status == "ok")
        assert ids(system, later) == ["a", "b", "c"]
        assert restarts(system) == 0


def test_a_new_model_that_meets_it_does_not_hold_up_the_ones_that_are_past_it(store_path: Path) -> None:
    old = generation(names=False)
    with System.open(store_path, old.domain, replicas=1) as system:
        system.execute_many([old.Make("a"), old.Make("b"), old.Scrap("a"), old.Make("c")])
        system.wait_applied()
    later = generation(scrapped=False)
    with System.open(store_path, later.domain, replicas=1, accept=["Scrapped"]) as system:
        wait_until(lambda: tried_again(system) and system.health().problems)
        assert system.health().problems == (f"model names on replica-1 is stopped at position {GONE}",)
        for number in range(3):
            system.execute(later.Make(f"more-{number}"))
            assert len(ids(system, later)) == 4 + number
        assert system.kill("replica-1")
        assert system.kill("sync")
        system.execute(later.Make("last"))
        assert len(ids(system, later)) == 7
        with pytest.raises(ModelStopped, match="UnknownType"):
            system.view(later.names)
        inside.codec(system).register(generation().Scrapped)
        wait_until(lambda: system.health().status == "ok")
        with system.view(later.names, consistency="strong") as view:
            assert len(view[later.known]) == 7


# -- the write side ---------------------------------------------------------------------------
def test_a_command_on_a_stream_with_it_is_refused_with_its_position_and_others_go_on(
    store_path: Path,
) -> None:
    first = generation()
    with System.open(store_path, first.domain, replicas=1) as system:
        system.execute_many([first.Make("a"), first.Make("b")])
        scrapped = system.execute(first.Scrap("a"), command_id="scrap")
    later = generation(scrapped=False)
    with System.open(store_path, later.domain, replicas=1, accept=["Scrapped"]) as system:
        refused, done = system.execute_many([later.Make("a"), later.Make("b")], return_exceptions=True)
        assert isinstance(refused, UnknownType)
        assert "Scrapped" in str(refused)
        assert f"in the event at position {GONE}" in refused.__notes__
        assert done.version == 2
        with pytest.raises(UnknownType, match="Scrapped"):
            system.stream("part-a")
        assert system.position == GONE + 1
        assert next(one for one in system.health().actors if one.name == "command-handler").restarts == 0
    with System.open(store_path, first.domain, replicas=1) as system:
        assert system.execute(first.Make("a")).version == 3
        assert system.execute(first.Scrap("a"), command_id="scrap") == scrapped
        with pytest.raises(Rejected):
            system.execute(first.Scrap("unknown"))
