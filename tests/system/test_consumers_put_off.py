"""Health says so where a consumer delivers nothing, since all that it may have in hand was put off."""

from __future__ import annotations

from pathlib import Path

from actors import Domain
from tests.system.test_process_managers import opened

belts = Domain("belts")


@belts.event(state=None)
class Scanned:
    number: int


def test_a_long_stream_that_is_put_off_and_holds_up_all_others_is_named(store_path: Path) -> None:
    with opened(store_path, belts) as system:
        system.append("belt-1", [Scanned(number) for number in range(25)])
        system.append("belt-2", [Scanned(number) for number in range(3)])
        with system.consumer("labels", in_flight=20, timeout=0) as labels:
            first = next(labels)
            assert (first.stream, system.health().status) == ("belt-1", "ok")  # one is out
            assert first.nak(delay=3600)
            assert list(labels) == []
            [problem] = system.health().problems
            assert problem.startswith("consumer 'labels' delivers nothing for 3")
            assert "and 8 positions wait: the 20 events that it may have in flight" in problem
            assert "in stream 'belt-1'" in problem
        with system.consumer("labels", in_flight=200, timeout=0) as labels:
            # With room for more, other streams go on.
            assert [delivery.stream for delivery in labels if delivery.ack()] == ["belt-2"] * 3
            assert system.health().status == "ok"


def test_what_is_put_off_for_a_moment_or_with_nothing_behind_it_is_no_problem(store_path: Path) -> None:
    with opened(store_path, belts) as system:
        system.append("belt-1", [Scanned(number) for number in range(20)])
        with system.consumer("labels", in_flight=20, timeout=0) as labels:
            assert next(labels).nak(delay=3600)
            assert list(labels) == []
            assert system.health().status == "ok"
        system.append("belt-2", [Scanned(1)])
        assert system.health().status == "ok"  # nobody has it open
        with system.consumer("letters", in_flight=20, timeout=0) as letters:
            assert next(letters).nak(delay=1)
            assert system.health().problems == ()
