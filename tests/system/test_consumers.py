"""Consumers: at least once, in the order of each stream, through failures, restarts and kills."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections import Counter, defaultdict
from datetime import timedelta
from pathlib import Path

import pytest

from actors import ConsumerMismatch, System, SystemClosed, UnknownMessage, UnknownName
from actors.subscriptions.group_keys import state_key
from actors.subscriptions.group_state import GroupState
from storage import DamagedStore, InvalidKey, KeyTooLong, StoreFull
from tests import inside
from tests.forked import Forked
from tests.helpers import PATIENCE, Threads, wait_until
from tests.system.checks import read_log
from tests.system.depot import Increment, Incremented, Stock, Stocked, depot

ROUNDS = int(os.environ.get("ONEWRITER_CONSUMER_ROUNDS", "6"))
SEED = int(os.environ.get("ONEWRITER_CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)


def open_at(path) -> System:
    return System.open(path, depot, replicas=1)


@pytest.fixture
def system(store_path):
    with open_at(store_path) as system:
        yield system


def fill(system: System, count: int, streams: int = 3) -> None:
    system.execute_many([Increment(f"c{number % streams}", number + 1) for number in range(count)])


def drain(system: System, name: str, **options) -> list[int]:
    """Acknowledge everything there is; the positions in the order of their delivery."""
    found = []
    for delivery in system.consumer(name, until=system.position, timeout=PATIENCE, **options):
        found.append(delivery.position)
        delivery.ack()
    return found


def status(system: System, name: str):
    (found,) = [one for one in system.consumers() if one.name == name]
    return found


# -- going on where it left off -----------------------------------------------------------------
def test_a_consumer_goes_on_after_what_was_acknowledged_also_in_another_process(store_path):
    with open_at(store_path) as system:
        fill(system, 10)
        with system.consumer("mailer") as consumer:
            for delivery in consumer:
                assert delivery.ack()
                assert not delivery.ack()
                if delivery.position == 6:
                    break
        assert status(system, "mailer").position == 6
        assert status(system, "mailer").lag == 4
    with open_at(store_path) as system:
        assert status(system, "mailer").position == 6
        assert drain(system, "mailer") == [7, 8, 9, 10]
        assert drain(system, "mailer") == []


def test_acknowledgements_out_of_order_are_remembered_and_the_position_waits_for_the_lowest(store_path):
    with open_at(store_path) as system:
        fill(system, 6, streams=6)
        consumer = system.consumer("mailer")
        deliveries = [next(consumer) for _ in range(6)]
        for delivery in deliveries[1:]:
            delivery.ack(wait=True)
        assert status(system, "mailer").position == 0
    with open_at(store_path) as system:
        assert drain(system, "mailer") == [1]
        assert status(system, "mailer").position == 6


@pytest.mark.parametrize(("start", "first"), [("beginning", 1), ("now", 5), (2, 3), (None, 1)])
def test_a_new_consumer_begins_where_it_is_told_and_remembers_that(store_path, start, first):
    with open_at(store_path) as system:
        fill(system, 4)
        if start == 2:
            start = system.execute(Increment("x"))._replace(position=2)
        else:
            system.execute(Increment("x"))
            first = 6 if start == "now" else first
        system.consumer("mailer", start=start).close()
        system.execute(Increment("x"))
    with open_at(store_path) as system:
        assert drain(system, "mailer", start=start)[0] == first


def test_filters_are_remembered_and_hold(store_path):
    with open_at(store_path) as system:
        for number in range(5):
            system.execute(Stock("a", number + 1))
            system.execute(Increment("c"))
        wanted = {"category": "item", "types": Stocked, "tag": "sku-a"}
        assert drain(system, "mailer", **wanted) == [1, 3, 5, 7, 9]
        assert drain(system, "one", stream="counter-c") == [2, 4, 6, 8, 10]
    with open_at(store_path) as system:
        system.execute(Stock("b", 1))
        system.execute(Stock("a", 1))
        assert drain(system, "mailer", **wanted) == [12]
        assert status(system, "mailer").position == 12
        assert status(system, "mailer").wants == "category='item', tag='sku-a', types=['Stocked']"


def test_what_was_looked_at_without_finding_anything_is_not_looked_at_again(store_path, monkeypatch):
    monkeypatch.setattr("actors.subscriptions.group_storage.STORE_AFTER", 100)
    with open_at(store_path) as system:
        fill(system, 1000)
        assert drain(system, "mailer", types=Stocked) == []
        wait_until(lambda: GroupState.decode("", inside.note(system, state_key("mailer"))).through > 800)


# -- order and competition ------------------------------------------------------------------------
def test_consumers_of_one_name_compete_and_keep_the_order_of_each_stream(system):
    fill(system, 600, streams=20)
    lock = threading.Lock()
    handled = defaultdict(list)
    busy: Counter[str] = Counter()

    def handle(delivery):
        with lock:
            busy[delivery.stream] += 1
            assert busy[delivery.stream] == 1, "two of one stream at once"
        if delivery.position % 7 == 0 and delivery.attempt == 1:
            with lock:
                busy[delivery.stream] -= 1
            delivery.nak()
            return
        with lock:
            handled[delivery.stream].append(delivery.position)
            busy[delivery.stream] -= 1

    assert system.consume("mailer", handle, threads=6, until=600, in_flight=50).wait(PATIENCE)
    assert sorted(one for found in handled.values() for one in found) == list(range(1, 601))
    assert all(found == sorted(found) for found in handled.values())
    assert not system.parked_streams("mailer")


def test_the_next_event_of_a_stream_comes_once_the_one_before_is_acknowledged(system):
    fill(system, 4, streams=2)
    consumer = system.consumer("mailer", timeout=0)
    first, other = next(consumer), next(consumer)
    assert [first.position, other.position] == [1, 2]
    assert list(consumer) == []
    consumer = system.consumer("mailer", timeout=0)
    assert list(consumer) == []
    first.ack()
    assert [one.position for one in system.consumer("mailer", timeout=0)] == [3]


def test_what_a_closed_consumer_had_goes_to_the_others_at_once_and_counts_as_no_delivery(system):
    fill(system, 3, streams=3)
    with system.consumer("mailer") as consumer:
        taken = [next(consumer), next(consumer)]
    again = system.consumer("mailer", timeout=PATIENCE)
    assert [(one.position, one.attempt) for one in (next(again), next(again))] == [(1, 1), (2, 1)]
    # The work was done, whoever has it now.
    assert taken[0].ack()
    assert not taken[1].nak()


def test_no_more_than_in_flight_are_in_hand(system):
    fill(system, 50, streams=50)
    consumer = system.consumer("mailer", in_flight=5, timeout=0)
    assert [one.position for one in consumer] == [1, 2, 3, 4, 5]
    assert status(system, "mailer").in_flight == 5


# -- redelivery and parking -------------------------------------------------------------------------
def test_what_is_not_acknowledged_in_time_is_delivered_again_and_a_late_acknowledgement_counts(system):
    fill(system, 2, streams=1)
    consumer = system.consumer("mailer", ack_timeout=timedelta(milliseconds=30), timeout=PATIENCE)
    late = next(consumer)
    again = next(consumer)
    assert (again.position, again.attempt) == (1, 2)
    assert not late.in_progress()
    assert late.ack()
    assert not again.ack()
    assert next(consumer).position == 2


def test_a_delivery_in_progress_is_not_delivered_again(system):
    fill(system, 1)
    consumer = system.consumer("mailer", ack_timeout=5, timeout=0)
    delivery = next(consumer)
    before = inside.consumer_group(system, "mailer").next_due()
    wait_until(lambda: inside.consumer_group(system, "mailer").next_due() < before)
    assert delivery.in_progress()
    assert inside.consumer_group(system, "mailer").next_due() > 4.9


@pytest.mark.parametrize("delay", [0.05, 3_600.0])
def test_a_refused_event_comes_again_after_its_delay_and_others_come_meanwhile(system, delay):
    fill(system, 4, streams=2)
    soon = delay < 1
    consumer = system.consumer("mailer", until=4, timeout=PATIENCE if soon else 0)
    order = []
    for delivery in consumer:
        order.append((delivery.position, delivery.attempt))
        if order == [(1, 1)]:
            began = time.monotonic()
            assert delivery.nak(delay=delay)
            assert not delivery.ack(), "a refused delivery was acknowledged"
            continue
        if delivery.position == 1:
            assert time.monotonic() - began >= delay
        delivery.ack()
    if soon:
        # The others may come before it or after it: a machine that is busy takes longer than the delay to ask
        # for one.
        assert [one for one in order if one[0] in (1, 3)] == [(1, 1), (1, 2), (3, 1)]
        assert [one for one in order if one[0] in (2, 4)] == [(2, 1), (4, 1)]
    else:
        assert order == [(1, 1), (2, 1), (4, 1)]


def test_after_max_deliveries_the_stream_is_parked_and_the_others_go_on(store_path):
    with open_at(store_path) as system:
        fill(system, 9)
        seen = []

        def handle(delivery):
            seen.append((delivery.position, delivery.attempt))
            if delivery.position == 4:
                raise LookupError("no such customer")

        assert system.consume("mailer", handle, until=9, max_deliveries=2).wait(PATIENCE)
        assert [position for position, _ in seen if position not in (4, 7)] == [1, 2, 3, 5, 6, 8, 9]
        assert [one for one in seen if one[0] in (4, 7)] == [(4, 1), (4, 2)]
        (parked,) = system.parked_streams("mailer")
        assert (parked.stream, parked.position, parked.version) == ("counter-c0", 4, 2)
        assert (parked.reason, parked.attempts, parked.following) == ("LookupError: no such customer", 2, 1)
        system.execute(Increment("c0"))
        assert drain(system, "mailer", max_deliveries=2) == []
        assert system.parked_streams("mailer")[0].following == 2
    with open_at(store_path) as system:
        assert system.parked_streams("mailer")[0].reason == "LookupError: no such customer"
        assert status(system, "mailer").parked == 1
        assert status(system, "mailer").position == 10


def test_health_names_the_consumers_with_parked_streams(system):
    parked_at_four(system)
    health = system.health()
    assert health.status == "degraded"
    assert health.problems == ("2 streams are parked by consumer 'mailer': see parked_streams('mailer')",)
    system.discard_parked("mailer", "counter-c0", following=True)
    system.replay_parked("mailer")
    assert system.health().problems == ()


def parked_at_four(system) -> None:
    """Streams c0 and c1 are parked at 4 and 5, with 7, 10 and 8, 11 behind them."""
    fill(system, 12)
    for delivery in system.consumer("mailer", until=12, timeout=PATIENCE):
        if delivery.position in (4, 5):
            delivery.park(f"parked at {delivery.position}")
        else:
            delivery.ack()
    assert [(one.position, one.following) for one in system.parked_streams("mailer")] == [(4, 2), (5, 2)]


def test_replaying_delivers_what_was_parked_in_order_before_what_came_later(store_path):
    with open_at(store_path) as system:
        parked_at_four(system)
        system.execute(Increment("c0"))
        assert drain(system, "mailer") == []
        assert system.replay_parked("mailer", "counter-c0") == 1
        system.execute(Increment("c0"))
        found = drain(system, "mailer")
        assert found == [4, 7, 10, 13, 14]
        assert [one.stream for one in system.parked_streams("mailer")] == ["counter-c1"]
        assert system.replay_parked("mailer") == 1
        assert system.replay_parked("mailer") == 0
    with open_at(store_path) as system:
        assert status(system, "mailer").replaying == 1
        assert drain(system, "mailer") == [5, 8, 11]
        assert status(system, "mailer").replaying == 0


def test_a_replay_goes_on_in_another_process_and_ends(store_path):
    with open_at(store_path) as system:
        parked_at_four(system)
        system.replay_parked("mailer")
        consumer = system.consumer("mailer", timeout=PATIENCE)
        before = []
        for _ in range(4):
            before.append(next(consumer))
            before[-1].ack(wait=True)
    with open_at(store_path) as system:
        system.execute(Increment("c0"))
        found = [one.position for one in before] + drain(system, "mailer")
        assert sorted(found) == [4, 5, 7, 8, 10, 11, 13]
        assert [one for one in found if one % 3 == 1] == [4, 7, 10, 13]
        assert [one for one in found if one % 3 == 2] == [5, 8, 11]
        assert status(system, "mailer").replaying == 0


def test_what_fails_in_a_replay_is_parked_again_where_it_failed(system):
    parked_at_four(system)
    system.replay_parked("mailer", "counter-c0")
    consumer = system.consumer("mailer", timeout=PATIENCE)
    next(consumer).ack()
    delivery = next(consumer)
    assert (delivery.position, delivery.attempt) == (7, 1)
    delivery.park("again")
    assert [(one.position, one.reason, one.following) for one in system.parked_streams("mailer")] == [
        (5, "parked at 5", 2),
        (7, "again", 1),
    ]


def test_discarding_gives_up_the_event_or_all_that_waits_with_it(store_path):
    with open_at(store_path) as system:
        parked_at_four(system)
        system.discard_parked("mailer", "counter-c0")
        system.discard_parked("mailer", "counter-c1", following=True)
        assert system.parked_streams("mailer") == []
        system.execute(Increment("c1"))
        with pytest.raises(UnknownName, match="there is no parked stream of consumer 'mailer' 'counter-c1'"):
            system.discard_parked("mailer", "counter-c1")
    with open_at(store_path) as system:
        consumer = system.consumer("mailer", timeout=PATIENCE)
        found = []
        for _ in range(3):
            delivery = next(consumer)
            found.append(delivery.position)
            delivery.ack()
        assert sorted(found) == [7, 10, 13]


def test_more_parked_than_fits_the_window_is_replayed_in_order(system):
    fill(system, 1, streams=1)
    (delivery,) = system.consumer("mailer", timeout=0, in_flight=4)
    delivery.park("first")
    system.execute_many([Increment(f"c{number % 2}") for number in range(100)])
    assert len(drain(system, "mailer", in_flight=4)) == 50
    assert system.parked_streams("mailer")[0].following == 50
    system.replay_parked("mailer")
    consumer = system.consumer("mailer", timeout=PATIENCE, in_flight=4)
    found = []
    for delivery in consumer:
        found.append(delivery.position)
        delivery.ack()
        if len(found) == 51:
            break
    assert found == sorted(found)
    assert len(set(found)) == 51


# -- the callback form ----------------------------------------------------------------------------
def test_callbacks_end_with_their_handle_and_with_the_system(store_path):
    with open_at(store_path) as system:
        seen = []
        handle = system.consume("mailer", lambda delivery: seen.append(delivery.position), threads=3)
        fill(system, 30)
        wait_until(lambda: len(seen) == 30)
        assert handle.running
        assert handle.close()
        assert not handle.running
        fill(system, 5)
        other = system.consume("mailer", lambda delivery: seen.append(delivery.position))
        wait_until(lambda: len(seen) == 35)
    assert other.wait(PATIENCE)
    assert sorted(seen) == list(range(1, 36))
    with open_at(store_path) as system:
        assert status(system, "mailer").position == 35


def test_a_callback_may_execute_and_settle_by_itself(system):
    fill(system, 3, streams=3)

    def handle(delivery):
        if delivery.position == 2:
            delivery.park("not today")
        else:
            system.execute(Stock(f"from-{delivery.position}", 1))

    handle = system.consume("mailer", handle, types=Incremented, until=3)
    assert handle.wait(PATIENCE)
    assert handle.failure is None
    assert {one.stream for one in read_log(system)[3:]} == {"item-from-1", "item-from-3"}
    assert [one.reason for one in system.parked_streams("mailer")] == ["not today"]


class Speechless(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, Speechless])
def test_whatever_a_callback_raises_refuses_its_delivery_and_ends_no_worker(system, error):
    fill(system, 2, streams=2)
    seen = []

    def handle(delivery):
        if delivery.position == 1:
            raise error("out")
        seen.append(delivery.position)

    handle = system.consume("mailer", handle, until=2, max_deliveries=1)
    assert handle.wait(PATIENCE)
    assert handle.failure is None
    assert seen == [2]
    said = ", which could not say more" if error is Speechless else ": out"
    assert [one.reason for one in system.parked_streams("mailer")] == [f"{error.__name__}{said}"]


def test_closing_the_system_waits_for_the_callback_that_runs_and_keeps_its_acknowledgement(store_path):
    entered, release = threading.Event(), threading.Event()

    def handle(delivery):
        entered.set()
        release.wait(PATIENCE)

    with Threads() as threads:
        system = open_at(store_path)
        fill(system, 3, streams=1)
        system.consume("mailer", handle)
        assert entered.wait(PATIENCE)
        threads.start(system.close)
        wait_until(lambda: inside.consumers_closed(system))
        release.set()
    with open_at(store_path) as system:
        assert status(system, "mailer").position == 1


# -- asyncio ----------------------------------------------------------------------------------------
def test_async_consumers_compete_and_acknowledge(system):
    fill(system, 60, streams=6)
    found = []

    async def work() -> None:
        async for delivery in system.consumer("mailer", until=60, timeout=PATIENCE):
            found.append(delivery.position)
            await asyncio.sleep(0)
            if delivery.position % 10 == 0:
                assert await delivery.aack()
            else:
                delivery.ack()

    async def main() -> None:
        await asyncio.gather(*(work() for _ in range(4)))
        waiting = asyncio.create_task(anext(system.consumer("mailer"), None))
        await asyncio.sleep(0)
        await system.aexecute(Increment("c1"))
        delivery = await waiting
        assert delivery.position == 61
        await delivery.aack()
        ending = asyncio.create_task(anext(system.consumer("mailer"), None))
        await asyncio.sleep(0)
        system.close()
        assert await ending is None

    asyncio.run(main())
    assert sorted(found) == list(range(1, 61))


# -- the ends ---------------------------------------------------------------------------------------
def test_consumers_that_wait_end_with_the_system_and_by_close(store_path):
    ended = []
    with Threads() as threads:
        system = open_at(store_path)
        consumers = [system.consumer("mailer"), system.consumer("mailer"), system.consumer("other")]
        for consumer in consumers:
            threads.start(lambda consumer=consumer: ended.append(list(consumer)))
        wait_until(lambda: all(one._waiter for one in consumers))
        consumers[0].close()
        wait_until(lambda: len(ended) == 1)
        system.close()
    assert ended == [[], [], []]
    with pytest.raises(SystemClosed):
        system.consumer("mailer")


def test_an_answer_after_the_close_is_not_kept_and_the_event_comes_again(store_path, caplog):
    system = open_at(store_path)
    fill(system, 1)
    delivery = next(system.consumer("mailer"))
    system.close()
    assert not delivery.in_progress()
    assert not delivery.ack()
    assert not delivery.nak()
    assert not delivery.park("too late")
    with pytest.raises(SystemClosed, match="before position 1 was acknowledged to consumer 'mailer'"):
        delivery.ack(wait=True)
    with pytest.raises(SystemClosed, match="delivered again"):
        asyncio.run(delivery.aack())
    assert caplog.messages == []
    with open_at(store_path) as system:
        assert drain(system, "mailer") == [1]


def test_an_answer_to_a_name_that_was_deleted_is_for_nobody(store_path):
    with open_at(store_path) as system:
        fill(system, 1)
        delivery = next(system.consumer("mailer"))
        system.delete_consumer("mailer")
        answers = [delivery.in_progress, delivery.ack, delivery.nak, lambda: delivery.park("too late")]
        assert [answer() for answer in answers] == [False] * 4


# -- looking after them --------------------------------------------------------------------------------
def test_a_name_keeps_its_filter_its_start_and_its_settings(system):
    system.consumer("mailer", category="item", start="now").close()
    with pytest.raises(ConsumerMismatch, match="wants category='item', and can't be opened for every event"):
        system.consumer("mailer")
    with pytest.raises(ConsumerMismatch, match="begun with start='now', not 'beginning'"):
        system.consumer("mailer", category="item", start="beginning")
    with (
        system.consumer("mailer", category="item", max_deliveries=3),
        pytest.raises(ConsumerMismatch, match=r"is open with max_deliveries=3, .*max_deliveries=5"),
    ):
        system.consumer("mailer", category="item")
    system.consumer("mailer", category="item").close()


def test_a_deleted_consumer_ends_and_begins_anew(store_path):
    with open_at(store_path) as system:
        parked_at_four(system)
        consumer = system.consumer("mailer")
        with Threads() as threads:
            threads.start(lambda: list(consumer))
            wait_until(lambda: consumer._waiter)
            system.delete_consumer("mailer")
        assert system.consumers() == []
        assert not inside.notes(system, b"sub/")
        with pytest.raises(UnknownName, match=r"there is no consumer 'mailer'; there are none$"):
            system.parked_streams("mailer")
        assert drain(system, "mailer", types=Incremented) == list(range(1, 13))


@pytest.mark.parametrize(
    ("name", "options", "error", "text"),
    [
        (1, {}, TypeError, "the name of a consumer is text, not 1"),
        ("", {}, InvalidKey, "consumer name '' is empty"),
        ("a/b", {}, ValueError, "has a slash"),
        ("x" * 91, {}, KeyTooLong, "consumer name"),
        ("a", {"start": "end"}, ValueError, "start= is 'beginning', 'now', or"),
        ("a", {"start": -1}, ValueError, "start= takes a receipt or a position"),
        ("a", {"max_deliveries": 0}, ValueError, "max_deliveries= is a whole number from 1"),
        ("a", {"in_flight": "many"}, ValueError, "in_flight= is a whole number from 1 to 10000"),
        ("a", {"ack_timeout": 0}, ValueError, "ack_timeout=0 would deliver"),
        ("a", {"ack_timeout": "x"}, ValueError, "ack_timeout= takes seconds"),
        ("a", {"timeout": "x"}, ValueError, "timeout= takes seconds"),
        ("a", {"ack_timeout": 1e10}, ValueError, "ack_timeout= takes seconds .* to 1,000,000,000, not"),
        ("a", {"until": "x"}, ValueError, "until= takes a receipt or a position"),
        ("a", {"types": "Nothing"}, UnknownMessage, "no event of domain"),
        (
            "a",
            {"tipes": "Nothing"},
            TypeError,
            r"consumer\(\) has no option 'tipes'; its options are ack_timeout",
        ),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_at_once(system, name, options, error, text):
    with pytest.raises(error, match=text):
        system.consumer(name, **options)
    assert system.consumers() == []


def test_bad_callbacks_and_delays_are_refused(system):
    async def coroutine(delivery):
        pass

    with pytest.raises(TypeError, match="is a coroutine function; in an event loop write: async for"):
        system.consume("a", coroutine)
    with pytest.raises(TypeError, match="takes a function of a delivery, not 1"):
        system.consume("a", 1)
    with pytest.raises(ValueError, match="threads= is a whole number from 1 to 1000, not 0"):
        system.consume("a", print, 0)
    fill(system, 1)
    delivery = next(system.consumer("a"))
    with pytest.raises(ValueError, match="delay= takes seconds"):
        delivery.nak(delay="x")
    with pytest.raises(UnknownName, match="no parked stream of consumer 'a' 'x'"):
        system.replay_parked("a", "x")


def test_what_is_stored_in_another_form_is_a_clear_error(system):
    inside.put_notes(system, (state_key("mailer"), b"\xc1"))
    with pytest.raises(DamagedStore, match=r"what is stored of consumer 'mailer' can't be read"):
        system.consumer("mailer")


# -- when the disk says no --------------------------------------------------------------------------------
def test_acknowledgements_that_could_not_be_stored_are_stored_with_the_next_ones(system, monkeypatch):
    fill(system, 3, streams=3)
    consumer = system.consumer("mailer", timeout=PATIENCE)
    append = inside.log(system).append
    monkeypatch.setattr(
        inside.log(system), "append", lambda *_, **__: (_ for _ in ()).throw(StoreFull("full"))
    )
    first = next(consumer)
    with pytest.raises(StoreFull):
        first.ack(wait=True)
    monkeypatch.setattr(inside.log(system), "append", append)
    assert next(consumer).ack(wait=True)
    stored = GroupState.decode("mailer", inside.note(system, state_key("mailer")))
    assert 1 not in dict(stored.open)
    assert stored.position == 2


def test_acknowledgements_share_commits(system):
    fill(system, 2000, streams=50)
    before = system.health().writer.batches
    assert len(drain(system, "mailer")) == 2000
    assert system.health().writer.batches - before < 1500


# -- kills ----------------------------------------------------------------------------------------------
def read_notes(path: Path) -> list[tuple[str, int]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [(kind, int(position)) for kind, position in (line.split() for line in lines)]


@pytest.mark.kill
def test_a_killed_process_loses_no_event_and_repeats_none_whose_acknowledgement_was_stored(tmp_path):
    print(f"ONEWRITER_CRASH_SEED={SEED}")
    dice = random.Random(SEED)
    store, notes = tmp_path / "store", tmp_path / "notes"
    for _ in range(ROUNDS):
        with Forked("tests.system.consumer_child", str(store), str(notes)) as process:
            try:
                assert process.stdout.readline() == "open\n"
                size = notes.stat().st_size if notes.exists() else 0
                wanted = size + dice.randrange(200, 8000)
                wait_until(lambda: notes.exists() and notes.stat().st_size > wanted)  # noqa: B023
                assert process.poll() is None
            finally:
                process.kill()
    with open_at(store) as system:
        parked = system.replay_parked("mailer")
        print(f"{parked} streams parked at the end")
        with open(notes, "a") as file:
            for delivery in system.consumer(
                "mailer", category="counter", until=system.position, timeout=PATIENCE
            ):
                file.write(f"got {delivery.position}\n")
                delivery.ack()
        log = read_log(system)
        assert system.parked_streams("mailer") == []

    stored: set[int] = set()
    met: set[int] = set()
    before = {
        one.position: {
            other
            for other in log[max(one.position - 200, 0) : one.position - 1]
            if other.stream == one.stream
        }
        for one in log
    }
    for kind, position in read_notes(notes):
        if kind == "acked":
            stored.add(position)
            continue
        assert position not in stored, "delivered again after its acknowledgement was on disk"
        assert {other.position for other in before[position]} <= met, "before an earlier one of its stream"
        met.add(position)
    assert met == {one.position for one in log}
    assert len(stored) > ROUNDS
