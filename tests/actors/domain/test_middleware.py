from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from actors.domain.middleware import ROUNDS_AFTER_TIME, Call, Drive, arun, run
from actors.errors import (
    CommandTimeout,
    DeadlineExceeded,
    MiddlewareFailed,
    Overloaded,
    Rejected,
    SystemClosed,
)
from actors.writer.submit_middleware import submit
from tests.helpers import in_a_thread, wait_until


def run_now(chain, call, terminal):
    return run(chain, call, terminal)


def run_in_a_loop(chain, call, terminal):
    async def aterminal(call):
        await asyncio.sleep(0)
        return terminal(call)

    return asyncio.run(arun(chain, call, aterminal))


def run_as_a_future(chain, call, terminal):
    with ThreadPoolExecutor(1) as writer, ThreadPoolExecutor(1) as executor:
        return submit(chain, call, lambda call: writer.submit(terminal, call), executor).result(timeout=10)


@pytest.fixture(params=[run_now, run_in_a_loop, run_as_a_future])
def drive(request):
    return request.param


def echo(call: Call) -> Any:
    return call.message


def failing_times(count: int, error: Exception):
    left = [count]

    def terminal(call):
        if left[0]:
            left[0] -= 1
            raise error
        return call.message

    return terminal


def test_without_middleware_the_terminal_answers(drive):
    assert drive((), Call("ping"), echo) == "ping"


def test_the_first_of_the_chain_is_the_outermost(drive):
    steps = []

    def named(name):
        def middleware(call):
            steps.append(f"{name} in")
            yield
            steps.append(f"{name} out")

        return middleware

    drive((named("outer"), named("inner")), Call("ping"), lambda call: steps.append("terminal"))
    assert steps == ["outer in", "inner in", "terminal", "inner out", "outer out"]


def test_the_outcome_is_what_yield_gives_and_a_returned_value_replaces_it(drive):
    def double(call):
        outcome = yield
        return outcome * 2

    assert drive((double, double), Call(3), echo) == 12


def test_returning_nothing_keeps_the_outcome(drive):
    def look(call):
        yield

    assert drive((look,), Call("ping"), echo) == "ping"


def test_metadata_and_message_may_be_changed_on_the_way_in(drive):
    def change(call):
        call.metadata["user"] = "ada"
        call.message = "pong"
        yield

    call = Call("ping")
    assert drive((change,), call, lambda call: (call.message, dict(call.metadata))) == (
        "pong",
        {"user": "ada"},
    )


def test_an_error_before_the_yield_refuses_the_call(drive):
    def guard(call):
        raise Rejected("not for you", code="forbidden")
        yield

    reached = []
    with pytest.raises(Rejected, match="not for you"):
        drive((guard,), Call("ping"), reached.append)
    assert reached == []


def test_the_outer_ones_see_the_refusal_of_an_inner_one(drive):
    seen = []

    def outer(call):
        try:
            yield
        except Rejected as error:
            seen.append(error.code)
            raise

    def guard(call):
        raise Rejected("no", code="forbidden")
        yield

    with pytest.raises(Rejected):
        drive((outer, guard), Call("ping"), echo)
    assert seen == ["forbidden"]


def test_the_error_of_the_call_is_raised_at_the_yield_and_may_be_replaced_by_an_outcome(drive):
    def soften(call):
        try:
            yield
        except Rejected as error:
            return f"refused: {error.code}"

    assert drive((soften,), Call("ping"), failing_times(1, Rejected(code="sold.out"))) == "refused: sold.out"


def test_an_error_that_is_caught_and_not_replaced_is_raised_again(drive):
    def swallow(call):
        with contextlib.suppress(Rejected):
            yield

    with pytest.raises(Rejected, match=r"sold\.out"):
        drive((swallow,), Call("ping"), failing_times(1, Rejected(code="sold.out")))


def test_each_further_yield_runs_the_call_again(drive):
    def retry(call):
        for _ in range(5):
            try:
                yield
            except OSError:
                continue
            return

    assert drive((retry,), Call("ping"), failing_times(3, OSError("busy"))) == "ping"


def test_a_retry_runs_the_inner_middleware_again(drive):
    entered = []

    def retry(call):
        try:
            yield
        except OSError:
            yield

    def count(call):
        entered.append(len(entered))
        yield

    assert drive((retry, count), Call("ping"), failing_times(1, OSError("busy"))) == "ping"
    assert entered == [0, 1]


def test_many_retries_of_an_inner_refusal_do_not_nest():
    tries = []

    def retry(call):
        while len(tries) < 5000:
            with contextlib.suppress(OSError):
                yield
        return "gave up"

    def refuse(call):
        tries.append(1)
        raise OSError("busy")
        yield

    assert run((retry, refuse), Call("ping"), echo) == "gave up"


def test_a_value_returned_without_a_yield_answers_the_call(drive):
    def cache(call):
        if call.message == "known":
            return "from the cache"
        yield

    assert drive((cache,), Call("known"), lambda call: pytest.fail("reached")) == "from the cache"
    assert drive((cache,), Call("new"), echo) == "new"


def test_neither_yielding_nor_answering_is_an_error_that_names_the_middleware(drive):
    def forgetful(call):
        if call.message == "yield":
            yield

    with pytest.raises(MiddlewareFailed, match="forgetful"):
        drive((forgetful,), Call("ping"), echo)


def test_after_a_submit_the_later_parts_run_on_the_executor_in_the_callers_context():
    user = contextvars.ContextVar("user", default="nobody")
    where = {}

    def look(call):
        where["before"] = threading.current_thread().name
        yield
        where["after"] = threading.current_thread().name
        where["user"] = user.get()

    user.set("ada")
    with ThreadPoolExecutor(1, "writer") as writer, ThreadPoolExecutor(1, "later") as executor:

        def terminal(call):
            return writer.submit(echo, call)

        assert submit((look,), Call("ping"), terminal, executor).result(timeout=10) == "ping"
    assert where["before"] == threading.current_thread().name
    assert where["after"].startswith("later")
    assert where["user"] == "ada"


def test_a_submit_does_not_wait_and_can_not_be_cancelled():
    inner: Future[str] = Future()

    def look(call):
        yield

    with ThreadPoolExecutor(1) as executor:
        future = submit((look,), Call("ping"), lambda call: inner, executor)
        assert not future.done()
        assert not future.cancel()
        inner.set_result("pong")
        assert future.result(timeout=10) == "pong"


def test_a_terminal_that_raises_at_once_is_an_error_of_the_call():
    def look(call):
        yield

    def full(call):
        raise SystemClosed("closed")

    with ThreadPoolExecutor(1) as executor, pytest.raises(SystemClosed):
        submit((look,), Call("ping"), full, executor).result(timeout=10)


def test_a_closed_executor_leaves_no_future_open():
    inner: Future[str] = Future()

    def look(call):
        yield

    executor = ThreadPoolExecutor(1)
    future = submit((look,), Call("ping"), lambda call: inner, executor)
    executor.shutdown()
    inner.set_result("pong")
    with pytest.raises(SystemClosed, match="was handled"):
        future.result(timeout=10)


class Early(Future[str]):
    """An outcome that is there, and whose callback has come to its end, before the callback is handed in."""

    def add_done_callback(self, callback):
        def settle():
            super(Early, self).add_done_callback(callback)
            self.set_result("pong")

        in_a_thread(settle)
        wait_until(lambda: pools_done[0])


pools_done = [False]


def test_a_turn_may_begin_and_end_before_the_one_before_it_has_left_its_context():
    user = contextvars.ContextVar("user", default="nobody")
    seen = []

    def twice(call):
        user.set("ada")
        yield
        seen.append(user.get())
        user.set("bob")
        yield
        seen.append(user.get())

    class Noting:
        """A pool that says when a job after the first has come to its end."""

        jobs = 0

        def submit(self, job):
            self.jobs += 1
            number = self.jobs

            def run():
                job()
                pools_done[0] = number > 1

            executor.submit(run)

    def terminal(call):
        inner = Early() if seen else Future()
        if not seen:
            inner.set_result("pong")
        return inner

    pools_done[0] = False
    with ThreadPoolExecutor(2) as executor:
        assert submit((twice,), Call("ping"), terminal, Noting()).result(timeout=10) == "pong"
    # Each turn sees what the one before it left.
    assert seen == ["ada", "bob"]


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, RuntimeError])
def test_what_a_turn_dies_of_is_the_outcome(error, monkeypatch):
    def look(call):
        yield

    def die(*_anything):
        raise error("dead")

    inner = Future()
    with ThreadPoolExecutor(1) as executor:
        future = submit((look,), Call("ping"), lambda call: inner, executor)
        monkeypatch.setattr(Drive, "succeeded", die)
        inner.set_result("pong")
        assert type(future.exception(timeout=10)) is error


def test_what_the_handing_over_of_a_turn_dies_of_is_the_outcome():
    class Dying:
        def submit(self, job):
            raise MemoryError("no room for a job")

    def look(call):
        yield

    inner = Future()
    future = submit((look,), Call("ping"), lambda call: inner, Dying())
    inner.set_result("pong")
    with pytest.raises(MemoryError):
        future.result(timeout=10)


@pytest.mark.parametrize("error", [CommandTimeout("id"), DeadlineExceeded("late"), Overloaded("full")])
def test_middleware_that_never_gives_up_ends_where_time_or_room_is_over(drive, error):
    turns = []
    ended = []

    def for_ever(call):
        try:
            while True:
                with contextlib.suppress(Exception):
                    return (yield)
        finally:
            ended.append(True)

    def over(call):
        turns.append(1)
        raise error

    with pytest.raises(type(error)):
        drive((for_ever,), Call("ping"), over)
    assert len(turns) == ROUNDS_AFTER_TIME
    assert ended == [True]


def test_middleware_that_ends_by_itself_after_time_is_over_gives_its_own_answer(drive):
    def fallback(call):
        for _ in range(3):
            with contextlib.suppress(CommandTimeout):
                return (yield)
        return "later"

    assert drive((fallback,), Call("ping"), failing_times(9, CommandTimeout("id"))) == "later"


def test_a_cancelled_task_runs_the_clean_up_of_its_middleware():
    cleaned = []

    def tidy(call):
        try:
            yield
        finally:
            cleaned.append(call.message)

    async def main():
        started = asyncio.Event()

        async def for_ever(call):
            started.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(arun((tidy,), Call("ping"), for_ever))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert cleaned == ["ping"]
