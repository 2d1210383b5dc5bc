"""A system that closes, archives and corrects at random shows what one that does not archive shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import CorrectionRefused, StreamClosed, System
from tests import inside
from tests.helpers import quick_folder
from tests.system.warehouse import (
    CountItems,
    CountTaken,
    Ordered,
    PlaceOrder,
    Take,
    read_back,
    sales,
    warehouse,
)

WHO = {"who": "ann", "why": "a test"}

numbers = st.integers(0, 3)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("place"), numbers, numbers),
        st.tuples(st.just("count"), numbers),
        st.tuples(st.just("take"), numbers),
        st.tuples(st.just("close"), numbers),
        st.tuples(st.just("reopen"), numbers),
        st.tuples(st.just("correct"), numbers),
        st.tuples(st.just("archive"), st.booleans(), st.booleans(), st.integers(1, 20)),
        st.tuples(st.just("rebuild")),
        st.tuples(st.just("open again")),
    ),
    max_size=25,
)


class Pair:
    """The same steps on a system with archives and on one without."""

    def __init__(self, folder: Path) -> None:
        self.folders = [folder / "archiving", folder / "plain"]
        self.systems = [self.opened(one) for one in self.folders]

    @staticmethod
    def opened(folder: Path) -> System:
        return System.open(folder, warehouse, replicas=1, cache_states=1)

    def both(self, call: Any) -> None:
        """Call it with both; both give or raise the same."""
        outcomes = []
        for system in self.systems:
            try:
                outcomes.append(call(system))
            except Exception as error:
                outcomes.append(type(error))
        assert outcomes[0] == outcomes[1]

    def step(self, name: str, *given: Any) -> None:
        if name == "place":
            self.both(lambda system: system.execute(PlaceOrder(f"o{given[0]}", f"s{given[1]}")).versions)
        elif name == "count":
            self.both(lambda system: system.execute(CountItems(f"o{given[0]}")).events)
        elif name == "take":
            self.both(lambda system: system.execute(Take(f"s{given[0]}")).versions)
        elif name in ("close", "reopen"):
            method = f"{name}_streams"
            self.both(lambda system: getattr(system, method)(f"order-o{given[0]}", **WHO))
        elif name == "correct":
            self.correct(f"order-o{given[0]}")
        elif name == "archive":
            whole, truncating, limit = given
            system = self.systems[0]
            plan = system.plan_archive(
                closed=not whole, before_snapshot=truncating and not whole, limit=limit
            )
            if plan.events:
                done = system.archive(plan, **WHO)
                assert (done.events, done.first, done.last) == (plan.events, plan.first, plan.last)
        elif name == "rebuild":
            self.systems[0].rebuild(sales, wait=True, timeout=60)
        else:
            for number, system in enumerate(self.systems):
                system.close()
                self.systems[number] = self.opened(self.folders[number])

    def correct(self, stream: str) -> None:
        """A correction of what is archived is refused, and then neither is corrected."""
        for system in self.systems:
            plan = system.plan_correction(
                lambda one: Ordered(one.event.order, one.event.sku) if one.event.sku else None, streams=stream
            )
            assert plan.count == 0
            plan = system.plan_correction(lambda one: (one.event, {"seen": True}), streams=stream)
            if plan.count:
                if system.archives() and len(inside.log(system).in_log(plan.positions)) < plan.count:
                    with pytest.raises(CorrectionRefused, match="archive"):
                        plan.apply(**WHO)
                    return
                plan.apply(**WHO)

    def compare(self) -> None:
        for system in self.systems:
            system.wait_applied()
            system.wait_process_managers()
        archiving, plain = self.systems
        assert without_times(read_back(archiving)) == without_times(read_back(plain))
        assert archiving.closed_streams() or not plain.closed_streams()
        assert archiving.verify_log().findings == []
        assert archiving.health().status == "ok"


def without_times(found: Any) -> Any:
    """The same without what no two systems have alike."""
    streams, tagged, *rest = found
    return (
        [[(one.position, one.version, one.event, one.metadata) for one in stream] for stream in streams],
        [(one.position, one.event) for one in tagged],
        *rest,
    )


@settings(max_examples=settings().max_examples // 4 + 1)
@given(steps)
def test_archives_change_nothing_that_is_read(script: list[tuple[Any, ...]]) -> None:
    with quick_folder() as folder:
        pair = Pair(Path(folder))
        try:
            for name, *given_ in script:
                pair.step(name, *given_)
            pair.compare()
        finally:
            for system in pair.systems:
                system.close()


@settings(max_examples=settings().max_examples // 4 + 1)
@given(steps)
def test_removing_takes_what_was_archived_and_nothing_else(script: list[tuple[Any, ...]]) -> None:
    with quick_folder() as folder:
        pair = Pair(Path(folder))
        try:
            for name, *given_ in script:
                pair.step(name, *given_)
            for system in pair.systems:
                system.wait_process_managers()
            archiving, plain = pair.systems
            log, gone, lost = inside.log(archiving), set[int](), set[str]()
            for one in archiving.archives():
                gone |= {position for position, _ in log.archived_records(one.number, 0, 1_000)}
                losses = archiving.plan_removal(one.number).losses
                lost |= {loss.label for loss in losses if "can't be found" in loss.why}
                archiving.remove_archive(one.number, lose=[loss.label for loss in losses], **WHO)
            pair.step("open again")
            archiving, plain = pair.systems
            assert [one.position for one in archiving.subscribe(until=archiving.position)] == [
                one.position for one in plain.subscribe(until=plain.position) if one.position not in gone
            ]
            assert [one.position for one in archiving.tagged("sku-s1")] == [
                one.position for one in plain.tagged("sku-s1") if one.position not in gone
            ]
            closed = {one.stream for one in plain.closed_streams()}
            for number in range(4):
                if f"order-o{number}" not in closed and "streams:order" not in lost:
                    pair.both(lambda system, order=f"o{number}": system.execute(CountItems(order)).events)
                if "streams:stock" not in lost:
                    pair.both(lambda system, sku=f"s{number}": system.execute(CountTaken(sku)).events)
            assert archiving.verify_log().findings == []
        finally:
            for system in pair.systems:
                system.close()


def test_the_script_closes_for_both() -> None:
    with quick_folder() as folder:
        pair = Pair(Path(folder))
        try:
            for step in (("place", 0, 0), ("close", 0), ("archive", False, False, 20)):
                pair.step(*step)
            with pytest.raises(StreamClosed):
                pair.systems[0].execute(PlaceOrder("o0", "s0"))
            pair.compare()
            assert [len(system.archives()) for system in pair.systems] == [1, 0]
        finally:
            for system in pair.systems:
                system.close()
