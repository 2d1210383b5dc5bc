"""Sessions: they see what they wrote and saw, on whatever replica, in whatever thread, task, request or
process.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from actors import (
    ConcurrencyConflict,
    ConsistencyTimeout,
    Domain,
    ForeignToken,
    InvalidToken,
    Rejected,
    System,
    SystemClosed,
)
from actors.errors import CommandTimeout
from tests import preloaded
from tests.helpers import PATIENCE, Threads
from tests.system.depot import (
    EntryCount,
    Increment,
    Measured,
    PlaceOrder,
    Stock,
    TotalOf,
    counters,
    depot,
    tally,
)
from tests.system.held import Held

ALL = ("replica-1", "replica-2")


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    held = Held(monkeypatch)
    yield held
    held.release()


@pytest.fixture
def system(store_path: Path, held: Held) -> Iterator[System]:
    with System.open(store_path, depot, replicas=2) as system:
        yield system
        held.release()


def sees(session, name: str) -> int:
    return session.query(TotalOf(name), timeout=PATIENCE)


# -- own writes -------------------------------------------------------------------------------
def raises_at_the_end(session) -> None:
    with pytest.raises(Rejected):
        session.execute_many([Increment("a"), Stock("s", 0)])


WRITES = {
    "execute": lambda session: session.execute(Increment("a")),
    "aexecute": lambda session: asyncio.run(session.aexecute(Increment("a"))),
    "submit": lambda session: session.submit(Increment("a")).result(PATIENCE),
    "execute_many": lambda session: session.execute_many([Stock("s", 1), Increment("a")]),
    "aexecute_many": lambda session: asyncio.run(session.aexecute_many([Increment("a")])),
    "execute_many that raises": lambda session: raises_at_the_end(session),
    "append": lambda session: session.append("sensor-1", [Measured("1", 20)]),
}


@pytest.mark.parametrize("how", WRITES)
def test_a_session_waits_for_a_replica_that_has_what_it_wrote(system: System, held: Held, how: str) -> None:
    session = system.session()
    held.hold(*ALL)
    WRITES[how](session)
    assert session.position == system.position
    assert system.query(TotalOf("a")) == 0
    with pytest.raises(ConsistencyTimeout, match="no stale answer was given"):
        session.query(TotalOf("a"), timeout=0.05)
    held.release()
    assert sees(session, "a") == (how != "append")
    assert session.query(EntryCount()) == system.position


def test_a_future_that_is_done_is_seen_even_if_nobody_asked_for_its_result(
    system: System, held: Held
) -> None:
    session = system.session()
    held.hold(*ALL)
    futures = [session.submit(Increment("a")) for _ in range(20)]
    futures[-1].result(PATIENCE)
    assert session.position == system.position
    with pytest.raises(ConsistencyTimeout):
        session.query(TotalOf("a"), timeout=0.05)
    held.release()
    assert sees(session, "a") == 20


def test_a_submitted_command_that_is_refused_says_so_and_one_that_is_cancelled_is_not_executed(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = system.session()
    with pytest.raises(Rejected, match="nothing to stock"):
        session.submit(Stock("s", 0)).result(PATIENCE)
    entered, release = threading.Event(), threading.Event()

    def hang(first: int, last: int) -> None:
        entered.set()
        assert release.wait(PATIENCE)

    system.on_committed(hang)
    first = session.submit(Increment("a"))
    assert entered.wait(PATIENCE)
    second = session.submit(Increment("a"))
    assert second.cancel()
    release.set()
    assert first.result(PATIENCE).position == 1
    assert not first.cancel()
    assert second.cancelled()
    with pytest.raises(CancelledError):
        second.result(0)
    assert session.execute(Increment("b")).position == 2


def test_after_a_refusal_a_session_sees_what_it_rested_on(system: System, held: Held) -> None:
    session = system.session()
    held.hold(*ALL)
    system.execute(Stock("s", 5))
    system.execute(PlaceOrder("o", ()))
    with pytest.raises(Rejected, match="is placed already"):
        session.execute(PlaceOrder("o", ()))
    assert session.position == 2
    system.execute(Increment("a"))
    with pytest.raises(ConcurrencyConflict):
        session.execute(Increment("a"), expected_version=0)
    assert session.position == 3
    held.release()
    assert sees(session, "a") == 1


def test_a_command_that_timed_out_is_seen_for_sure_once_it_was_executed_again(system: System) -> None:
    session = system.session()
    entered, release = threading.Event(), threading.Event()

    def hang(first: int, last: int) -> None:
        entered.set()
        assert release.wait(PATIENCE)

    system.on_committed(hang)
    with Threads() as threads:
        threads.start(lambda: system.execute(Increment("other")))
        assert entered.wait(PATIENCE)
        with pytest.raises(CommandTimeout) as caught:
            session.execute(Increment("a"), timeout=0.05)
        release.set()
    assert session.position == 0
    assert session.execute(Increment("a"), command_id=caught.value.command_id).position == session.position
    assert sees(session, "a") == 1


# -- never back in time -----------------------------------------------------------------------
READS = {
    "query": lambda session: session.query(TotalOf("a"), timeout=1),
    "aquery": lambda session: asyncio.run(session.aquery(TotalOf("a"), timeout=1)),
    "query_many": lambda session: session.query_many([TotalOf("a"), EntryCount()], timeout=1)[0],
    "aquery_many": lambda session: asyncio.run(session.aquery_many([TotalOf("a")], timeout=1))[0],
    "view": lambda session: total_of(session),
}


def total_of(session) -> int:
    with session.view(tally, timeout=1) as view:
        row = view[counters].get("a")
        return row["total"] if row else 0


@pytest.mark.parametrize("first", READS)
@pytest.mark.parametrize("second", READS)
def test_what_one_read_showed_the_next_one_shows_from_the_other_replica_too(
    system: System, held: Held, first: str, second: str
) -> None:
    held.hold("replica-1")
    receipt = system.execute(Increment("a"))
    session = system.session()
    # Only one replica has it: the session is shown that once, and from then on by nobody else.
    assert session.query(TotalOf("a"), after=receipt, timeout=PATIENCE) == 1
    assert READS[first](session) == 1
    assert session.position == 1
    assert [READS[second](session) for _ in range(4)] == [1] * 4


def test_a_session_never_goes_back_while_replicas_die(system: System) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            system.execute_many([Increment("a") for _ in range(20)])

    def read(number: int) -> None:
        session = system.session()
        dice = random.Random(number)
        last = 0
        while not stop.is_set():
            now = READS[dice.choice(["query", "query_many", "view"])](session)
            assert now >= last
            last = now
            session = system.session(session.token) if dice.random() < 0.2 else session

    with Threads() as threads:
        try:
            threads.start(write)
            for number in range(4):
                threads.start(read, number)
            dice = random.Random(3)
            for _ in range(6):
                assert system.kill(dice.choice(ALL))
        finally:
            stop.set()


def test_threads_that_share_a_session_each_see_what_any_of_them_wrote(system: System) -> None:
    session = system.session()

    def work(name: str) -> None:
        for total in range(1, 31):
            session.execute(Increment(name))
            assert session.query(TotalOf(name)) == total
            least = session.position
            assert session.query(EntryCount()) >= least

    with Threads() as threads:
        for name in "abcdefgh":
            threads.start(work, name)
    assert session.query(EntryCount()) == session.position == 240


def test_tasks_that_share_a_session_see_each_others_writes(system: System) -> None:
    async def work() -> int:
        session = system.session()
        await asyncio.gather(*(session.aexecute(Increment("a")) for _ in range(20)))
        assert (await session.aquery_many([TotalOf("a"), EntryCount()])) == [20, 20]
        return await session.aquery(TotalOf("a"), max_lag=0, consistency="strong")

    assert asyncio.run(work()) == 20


# -- tokens -----------------------------------------------------------------------------------
def test_a_token_continues_a_session_and_is_taken_wherever_a_receipt_is(system: System, held: Held) -> None:
    session = system.session()
    held.hold(*ALL)
    session.execute(Increment("a"))
    token = session.token
    again = system.session(token)
    assert again.position == session.position == 1
    for ask in (
        lambda: again.query(TotalOf("a"), timeout=0.05),
        lambda: system.query(TotalOf("a"), after=token, timeout=0.05),
        lambda: system.query_many([TotalOf("a")], after=token, timeout=0.05),
        lambda: system.view(tally, after=token, timeout=0.05),
        lambda: system.session().query(TotalOf("a"), after=token, timeout=0.05),
        lambda: asyncio.run(system.aquery(TotalOf("a"), after=token, timeout=0.05)),
    ):
        with pytest.raises(ConsistencyTimeout):
            ask()
    held.release()
    assert system.query(TotalOf("a"), after=token) == 1
    assert system.session(system.execute(Increment("a"))).query(TotalOf("a")) == 2


OTHER_PROCESS = """
import sys
from actors import System
from tests.system.depot import Increment, TotalOf, depot
with System.open(sys.argv[1], depot, replicas=1) as system:
    session = system.session(sys.argv[2])
    assert session.query(TotalOf("a")) == 3
    session.execute(Increment("a"))
    print(session.token, end="")
"""


def test_a_session_without_a_token_is_a_new_one(system: System) -> None:
    cookies: dict[str, str] = {}
    session = system.session(cookies.get("token"))
    assert session.position == 0
    session.execute(Increment("a"))
    cookies["token"] = session.token
    assert system.session(cookies.get("token")).position == 1
    with pytest.raises(InvalidToken):
        system.session("")
    system.close()
    with pytest.raises(SystemClosed):
        system.session(None)


def test_a_token_continues_a_session_in_another_process(store_path: Path) -> None:
    with System.open(store_path, depot, replicas=1) as system, system.session() as session:
        session.execute_many([Increment("a") for _ in range(3)])
        token = session.token
    done = preloaded.run(["-c", OTHER_PROCESS, str(store_path), token], preloaded.ROOT)
    assert done.returncode == 0, done.stderr
    with System.open(store_path, depot, replicas=1) as system:
        assert sees(system.session(done.stdout), "a") == 4


def test_a_token_of_another_store_or_of_a_later_state_is_refused(store_path: Path, tmp_path: Path) -> None:
    with System.open(store_path, depot, replicas=1) as system:
        system.execute(Increment("a"))
    shutil.copytree(store_path, tmp_path / "earlier")
    with System.open(store_path, depot, replicas=1) as system, system.session() as session:
        session.execute(Increment("a"))
        token = session.token
    with System.open(tmp_path / "other", depot, replicas=1) as system:
        system.execute_many([Increment("a") for _ in range(5)])
        for use in (lambda: system.session(token), lambda: system.query(TotalOf("a"), after=token)):
            with pytest.raises(ForeignToken, match="belongs to another store"):
                use()
    with System.open(tmp_path / "earlier", depot, replicas=1) as system:
        for use in (lambda: system.session(token), lambda: system.query(TotalOf("a"), after=token)):
            with pytest.raises(ForeignToken, match="position 2, the log ends at 1"):
                use()
        for text in (token[:-1], token.swapcase(), "", "position 7"):
            with pytest.raises(InvalidToken, match="is not a session token"):
                system.session(text)
            with pytest.raises(ValueError, match="is not a session token"):
                system.view(tally, after=text)


# -- middleware -------------------------------------------------------------------------------
def test_with_query_middleware_each_query_of_several_is_no_older_than_the_one_before(
    store_path: Path, held: Held
) -> None:
    domain = Domain("watched")
    seen: list[str] = []

    @domain.event(state=None, stream="things")
    class Added:
        name: str

    model = domain.read_model("model")
    rows = model.table("rows", key="name")

    @model.on(Added)
    def on_added(event, tables):
        tables[rows].put({"name": event.name})

    @domain.query(reads=[model])
    class Count:
        of: str = ""

        def run(self, view):
            return len(view[rows])

    @domain.around_query
    def watch(call):
        seen.append(call.kind)
        if call.message.of == "nothing":
            return 0
        outcome = yield
        return outcome + 100

    with System.open(store_path, domain, replicas=2) as system:
        held.hold("replica-1")
        receipt = system.append("things", [Added("a")])
        session = system.session()
        assert session.query(Count("nothing")) == 0
        assert session.position == 0
        assert session.query_many([Count()], after=receipt, timeout=PATIENCE) == [101]
        assert session.position == 1
        assert session.query_many([Count()] * 4) == [101] * 4
        assert asyncio.run(session.aquery_many([Count()] * 4)) == [101] * 4
        assert session.query(Count()) == 101
        assert len(seen) == 11
        with pytest.raises(TypeError, match="has no option 'fresh'"):
            session.query_many([Count()], fresh=True)
        held.release()


# -- many commands from a task ----------------------------------------------------------------
def test_a_task_executes_many_commands_and_the_loop_goes_on_meanwhile(system: System) -> None:
    async def work() -> None:
        ticks = 0
        task = asyncio.create_task(
            system.aexecute_many([Increment("a"), Stock("s", 0), Increment("a")], return_exceptions=True)
        )
        while not task.done():
            ticks += 1
            await asyncio.sleep(0)
        first, refused, last = await task
        assert (first.position, last.position, refused.code) == (1, 2, "stock.nothing")
        assert ticks > 1
        with pytest.raises(Rejected) as caught:
            await system.aexecute_many([Stock("s", 0), Increment("a")])
        assert caught.value.outcomes[1].position == 3
        with pytest.raises(TypeError, match=r"aexecute_many\(\) takes a list"):
            await system.aexecute_many(Increment("a"))

    asyncio.run(work())
