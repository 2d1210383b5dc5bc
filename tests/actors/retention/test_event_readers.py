"""Who has not read which events: consumers with parked streams, models, managers with set-aside instances."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors import Do, Domain, System
from actors.retention.event_readers import EventReader, StoredEnvelope, envelope, event_readers
from tests import inside
from tests.helpers import wait_until
from tests.system.warehouse import Ordered, fill, warehouse


def readers(system: System) -> dict[str, EventReader]:
    return {f"{one.kind} {one.name}": one for one in event_readers(system._parts)}


def waiting(system: System, reader: str) -> list[int]:
    """The positions of the events that a consumer, manager or model has not read."""
    found = readers(system)[reader]
    records = enumerate(inside.log(system).records(0, 1000), 1)
    return [position for position, data in records if found.waits(envelope(position, data))]


@pytest.fixture
def filled(store_path: Path) -> Any:
    with System.open(store_path, warehouse, replicas=1, managers=False) as system:
        fill(system, 3, 3)
        yield system


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, range(1, 28)),
        ({"stream": "order-o1"}, [2, 5, 8]),
        ({"category": "order"}, range(1, 10)),
        ({"types": Ordered}, range(1, 10)),
        ({"tag": "sku-s1"}, [4, 5, 6]),
        ({"tag": "sku-s1", "stream": "order-o1"}, [5]),
        ({"start": 7}, range(8, 28)),
        ({"start": 7, "types": Ordered}, [8, 9]),
        ({"start": "now"}, []),
    ],
)
def test_a_consumer_waits_for_what_it_wants(filled: System, options: dict[str, Any], wanted: Any) -> None:
    filled.consumer("one", **options).close()
    assert waiting(filled, "consumer one") == [*wanted]
    assert readers(filled)["consumer one"].first <= min(wanted, default=28)


def test_a_consumer_waits_for_a_parked_stream_and_for_what_is_in_flight(filled: System) -> None:
    with filled.consumer("one", category="order") as consumer:
        for delivery in consumer:
            if delivery.stream == "order-o1" and delivery.position == 5:
                delivery.park("no")
            elif delivery.position == 6:
                break  # in flight
            else:
                delivery.ack()
        wait_until(lambda: waiting(filled, "consumer one") == [5, 6, 7, 8, 9])
    assert readers(filled)["consumer one"].first == 5


def test_a_model_waits_for_what_its_projections_handle_wherever_it_is_last(filled: System) -> None:
    assert waiting(filled, "model sales") == []
    progress = inside.progress(filled)
    progress.applied("replica-1", [("sales", 6)])
    assert waiting(filled, "model sales") == [7, 8, 9]


def test_a_manager_waits_for_what_it_handles_also_if_its_code_is_gone(filled: System) -> None:
    # They were never on: the store does not know of one.
    assert "manager taking" not in readers(filled)


def jobs(name: str, formerly: Callable[[], dict[str, Any]] = dict, *, fails: bool = True) -> Domain:
    domain = Domain("jobs")

    @domain.event(state=None, stream="job-{job}")
    class Begun:
        job: str

    @domain.event(state=None, stream="job-{job}")
    class Ended:
        job: str

    if name:
        manager = domain.process_manager(name, key="job", start="beginning", **formerly())

        @manager.state
        class Job:
            job: str

        def begun(state: Any, event: Any, do: Do) -> Any:
            if fails and event.job == "bad":
                raise ValueError("a bug")
            return Job(event.job)

        begun.__annotations__.update(state=Job | None, event=Begun)
        manager.on(begun)
    vars(domain).update(Begun=Begun, Ended=Ended)
    return domain


def test_a_manager_waits_for_the_events_of_a_quarantined_instance(store_path: Path) -> None:
    domain: Any = jobs("work")
    with System.open(store_path, domain, replicas=1) as system:
        for job in ("good", "bad", "good", "bad"):
            system.append(f"job-{job}", [domain.Begun(job), domain.Ended(job)])
        wait_until(lambda: system.process_managers()[0].quarantined and system.process_managers()[0].lag == 0)
        wait_until(lambda: waiting(system, "manager work") == [3, 7])
    # Of one that is not declared any more, nobody knows what it would want.
    with System.open(store_path, jobs(""), replicas=1, accept=["work"]) as system:
        assert waiting(system, "manager work") == [3, 7]
        system.append("job-new", [system.domain.Ended("new")])  # type: ignore[attr-defined]
        assert waiting(system, "manager work") == [3, 7, 9]
    renamed = jobs("toil", lambda: {"formerly": ["work"]}, fails=False)
    with System.open(store_path, renamed, replicas=1, managers=False) as system:
        assert waiting(system, "manager toil") == [3, 7]
        assert "manager work" not in readers(system)


def test_stored_bytes_say_who_wants_them(filled: System) -> None:
    [data] = inside.log(filled).records(3, 1)
    assert envelope(4, data) == StoredEnvelope(4, "order-o0", 2, "Ordered", ["sku-s1"])
