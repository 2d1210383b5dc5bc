"""Events that the domain can't decode any more: a class or a field was removed from it while the log has
them.
"""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors import Domain, ModelStopped, Rejected, System, Undecodable
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


def generation(
    *, scrapped: bool = True, with_why: bool = True, value: bool = True, names: bool = True
) -> SimpleNamespace:
    """One generation of the domain: with the event, its field and the value in it or without, with the second
    model, which wants the event."""
    # The classes have no module-level names, since a later generation's have the same ones.
    domain = Domain("parts")
    fails: set[str] = set()
    found = SimpleNamespace(domain=domain, fails=fails)

    @domain.state(stream="part-{id}")
    class Part:
        id: str

    @domain.event(Part, tags="owner-{id}")
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

    if scrapped:
        if value:

            @domain.value
            class Why:
                text: str

            found.Why = Why

        @domain.event(Part, tags="owner-{id}")
        class Scrapped:
            id: str
            if with_why:
                why: Any

        @domain.command(Part)
        class Scrap:
            id: str

        @domain.decide
        def scrap(part: Part, command: Scrap) -> Any:
            yield Scrapped(command.id, Why("rust")) if with_why else Scrapped(command.id)

        @domain.evolve
        def was_scrapped(part: Part, event: Scrapped) -> Part:
            return part

        found.Scrap = Scrap
        found.Scrapped = Scrapped

    found.Make, found.Made = Make, Made
    found.stock = domain.read_model("stock")
    found.parts = found.stock.table("parts", key="position")

    @found.stock.on
    def on_made(event: Made, tables: Any, recorded: Any) -> None:
        if event.id in fails:
            raise RuntimeError(f"can't stand {event.id}")
        tables[found.parts].put({"position": recorded.position, "id": event.id})

    if names:
        found.names = domain.read_model("names")
        found.known = found.names.table("known", key="id")

        @found.names.on(Made, *([Scrapped] if scrapped else []))
        def note_name(event: Any, tables: Any) -> None:
            tables[found.known].put({"id": event.id})

    return found


LATER = {
    "a value's class is gone": ({"value": False}, "UnknownType: .*Why"),
    "a field is gone": ({"with_why": False}, "CodecError: .*why"),
}


# A worker process imports these.
less = generation(scrapped=False)
LESS = less.domain
field_gone = generation(with_why=False)
FIELD_GONE = field_gone.domain


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


def opened(path: Path, domain: Domain, **settings: Any) -> System:
    """The store opened with another generation of the domain, though that does not read all of it."""
    return System.open(path, domain, accept=["Scrapped", "Why"], **settings)


# -- the read side ----------------------------------------------------------------------------
@pytest.mark.parametrize("workers", ["thread", "process"])
@pytest.mark.parametrize("keep_first", [0, 2], ids=["new replicas", "just before it"])
def test_an_event_whose_class_is_gone_stops_no_model_since_none_wants_it(
    store_path: Path, keep_first: int, workers: str
) -> None:
    write(store_path, keep_first=keep_first)
    with opened(store_path, LESS, replicas=2, workers=workers) as system:
        receipt = system.execute(less.Make("d"))
        system.wait_applied()
        assert system.health().status == "ok"
        assert {model.applied for model in models(system)} == {receipt.position}
        assert ids(system, less) == ["a", "b", "c", "d"]
        for name in system.replica_names:
            assert [row["id"] for row in system.dump(name, less.names)["known"]] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("keep_first", [0, 1, 2], ids=["new replicas", "behind by two", "just before it"])
@pytest.mark.parametrize("what", LATER)
def test_an_event_that_can_not_be_decoded_stops_the_models_that_want_it_until_it_can(
    store_path: Path, what: str, keep_first: int
) -> None:
    options, error = LATER[what]
    write(store_path, keep_first=keep_first)
    later = generation(**options)
    with opened(store_path, later.domain, replicas=2) as system:
        wait_until(lambda: len(system.health().problems) == 2)
        wait_until(lambda: tried_again(system))
        assert system.execute(later.Make("d")).first == 5
        assert ids(system, later) == ["a", "b", "c", "d"]
        stopped = [model for model in models(system) if model.name == "names"]
        assert {(model.stopped_at, model.applied) for model in stopped} == {(GONE, GONE - 1)}
        for model in stopped:
            assert f"at position {GONE}" in model.failure
            assert re.search(error, model.failure)
        with pytest.raises(ModelStopped, match=error) as caught:
            system.view(later.names)
        assert "write an upcaster" in str(caught.value)
        assert "skip" not in str(caught.value)
        with pytest.raises(ModelStopped, match=error):
            system.wait_applied()
        assert restarts(system) == 0
    whole = generation()
    with opened(store_path, whole.domain, replicas=2) as system:
        system.wait_applied()
        assert system.health().status == "ok"
        assert ids(system, whole) == ["a", "b", "c", "d"]
        assert system.dump("replica-1", whole.names) == system.dump("replica-2", whole.names)


def test_a_worker_process_stops_the_models_that_want_it_and_no_other(store_path: Path) -> None:
    write(store_path)
    with opened(store_path, FIELD_GONE, replicas=1, workers="process") as system:
        wait_until(lambda: [one.stopped_at for one in models(system) if one.name == "names"] == [GONE])
        assert ids(system, field_gone) == ["a", "b", "c"]
        with pytest.raises(ModelStopped, match="write an upcaster"):
            system.view(field_gone.names)


def test_an_operator_may_still_skip_it(store_path: Path) -> None:
    write(store_path)
    later = generation(with_why=False)
    with opened(store_path, later.domain, replicas=2) as system:
        wait_until(lambda: len(system.health().problems) == 2)
        system.skip_event(later.names, GONE, "of no use")
        system.wait_applied()
        assert [row["id"] for row in system.dump("replica-2", later.names)["known"]] == ["a", "b", "c"]


def test_models_go_on_by_themselves_once_the_event_can_be_decoded(store_path: Path) -> None:
    write(store_path)
    later = generation(value=False)
    with opened(store_path, later.domain, replicas=2) as system:
        wait_until(lambda: len(system.health().problems) == 2)
        system.execute(later.Make("d"))
        inside.codec(system).register(generation().Why)
        wait_until(lambda: system.health().status == "ok")
        system.execute(later.Make("e"))
        assert ids(system, later) == ["a", "b", "c", "d", "e"]
        assert restarts(system) == 0


def test_a_model_that_stopped_before_it_misses_nothing_of_what_lies_between(store_path: Path) -> None:
    write(store_path)
    later = generation(value=False)
    later.fails.add("a")
    with opened(store_path, later.domain, replicas=1) as system:
        wait_until(lambda: [model.stopped_at for model in models(system)] == [1, GONE])
        inside.codec(system).register(generation().Why)
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
    later = generation(value=False)
    with opened(store_path, later.domain, replicas=1) as system:
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
        inside.codec(system).register(generation().Why)
        wait_until(lambda: system.health().status == "ok")
        with system.view(later.names, consistency="strong") as view:
            assert len(view[later.known]) == 7


# -- subscriptions and consumers --------------------------------------------------------------
UNWANTED = {
    "another type": ({"types": "Made"}, [1, 2, 4]),
    "another category": ({"category": "box"}, []),
    "another stream": ({"stream": "part-b"}, [2]),
    "another tag": ({"tag": "owner-c"}, [4]),
    "another type of its stream": ({"stream": "part-a", "types": "Made"}, [1]),
    "another type of its tag": ({"tag": "owner-a", "types": "Made"}, [1]),
}
WANTED = {
    "every event": ({}, [1, 2]),
    "its category": ({"category": "part"}, [1, 2]),
    "its stream": ({"stream": "part-a"}, [1]),
    "its tag": ({"tag": "owner-a"}, [1]),
    "its type": ({"types": "Scrapped"}, []),
}


@pytest.mark.parametrize("what", UNWANTED)
def test_a_subscription_and_a_consumer_that_do_not_want_it_pass_over_it(store_path: Path, what: str) -> None:
    options, expected = UNWANTED[what]
    write(store_path)
    with opened(store_path, generation(with_why=False).domain, replicas=1) as system:
        with system.subscribe(until=4, **options) as events:
            assert [one.position for one in events] == expected
            assert events.position == 4
        with system.consumer("other", timeout=0, **options) as consumer:
            assert [acknowledged(one) for one in consumer] == expected
        wait_until(lambda: system.consumers()[0].position == 4)


@pytest.mark.parametrize("what", WANTED)
def test_a_subscription_and_a_consumer_that_want_it_get_what_is_before_it_and_stop(
    store_path: Path, what: str
) -> None:
    options, expected = WANTED[what]
    write(store_path)
    with opened(store_path, generation(with_why=False).domain, replicas=1) as system:
        events = system.subscribe(until=4, **options)
        got = []
        with pytest.raises(CodecError, match="write an upcaster") as caught:
            got.extend(one.position for one in events)
        assert f"in the event at position {GONE}" in caught.value.__notes__
        assert [one.position for one in system.subscribe(until=GONE - 1, **options)] == expected
        with pytest.raises(CodecError):
            next(events)
        with system.consumer("same", timeout=0, **options) as consumer:
            delivered = []
            with pytest.raises(CodecError, match="write an upcaster"):
                delivered.extend(acknowledged(one) for one in consumer)
        assert system.consumers()[0].position < GONE
    with (
        opened(store_path, generation().domain, replicas=1) as system,
        system.consumer("same", timeout=0, **options) as consumer,
    ):
        assert GONE in [acknowledged(one) for one in consumer]


def test_all_that_is_there_can_be_read_with_the_error_and_the_stored_fields_in_its_place(
    store_path: Path,
) -> None:
    write(store_path)
    with opened(store_path, generation(with_why=False).domain, replicas=1) as system:
        for events, positions in (
            (list(system.subscribe(until=4, undecodable=True)), [1, 2, 3, 4]),
            (list(system.subscribe(until=4, types="Scrapped", undecodable=True)), [3]),
            (list(system.subscribe(until=4, tag="owner-a", undecodable=True)), [1, 3]),
            (system.stream("part-a", undecodable=True), [1, 3]),
            (system.tagged("owner-a", undecodable=True), [1, 3]),
        ):
            assert [one.position for one in events] == positions
            [at] = [one for one in events if one.position == GONE]
            assert isinstance(at.event, Undecodable)
            assert isinstance(at.event.error, CodecError)
            assert (at.event.fields["id"], sorted(at.event.fields)) == ("a", ["id", "why"])
            assert (at.stream, at.version, at.type, at.tags) == ("part-a", 2, "Scrapped", ("owner-a",))
            assert at.command == "Scrap"


def acknowledged(delivery: Any) -> int:
    delivery.ack()
    return delivery.position


# -- the write side ---------------------------------------------------------------------------
def test_a_command_on_a_stream_with_it_is_refused_with_its_position_and_others_go_on(
    store_path: Path,
) -> None:
    first = generation()
    with System.open(store_path, first.domain, replicas=1) as system:
        system.execute_many([first.Make("a"), first.Make("b")])
        scrapped = system.execute(first.Scrap("a"), command_id="scrap")
    later = generation(scrapped=False)
    with opened(store_path, later.domain, replicas=1) as system:
        refused, done = system.execute_many([later.Make("a"), later.Make("b")], return_exceptions=True)
        assert isinstance(refused, UnknownType)
        assert "declare the class again" in str(refused)
        assert f"in the event at position {GONE}" in refused.__notes__
        assert done.version == 2
        with pytest.raises(UnknownType, match="declare the class again"):
            system.stream("part-a")
        with pytest.raises(UnknownType, match="declare the class again"):
            system.tagged("owner-a")
        assert [one.event.id for one in system.stream("part-b")] == ["b", "b"]
        assert system.position == GONE + 1
        assert next(one for one in system.health().actors if one.name == "command-handler").restarts == 0
    with opened(store_path, first.domain, replicas=1) as system:
        assert system.execute(first.Make("a")).version == 3
        assert system.execute(first.Scrap("a"), command_id="scrap") == scrapped
        with pytest.raises(Rejected):
            system.execute(first.Scrap("unknown"))
