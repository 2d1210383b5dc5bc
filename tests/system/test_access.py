"""Guards see every way in to a system, whatever middleware there is: what a caller may not do is not done."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from actors import Access, Do, Domain, DomainError, Forbidden, GuardFailed, System
from actors.testing import given
from tests.helpers import quick_folder, wait_until

user = contextvars.ContextVar("user", default="nobody")
seen: list[Access] = []


def domain_of(*, middleware: bool = False) -> Domain:
    """Letters that ann may do anything with, while bob may only send some; the classes are attributes."""
    post = Domain("post")

    @post.state(stream="letter-{letter}")
    class Letter:
        letter: str

    @post.event(Letter, tags=lambda event: ["sent"])
    class Sent:
        letter: str

    @post.command(Letter)
    class Send:
        letter: str

    @post.command(Letter)
    class Burn:
        letter: str

    @post.decide(Send, state=Letter | None)
    def send(letter: Any, command: Any) -> Any:
        return Sent(command.letter)

    @post.decide(Burn, state=Letter | None)
    def burn(letter: Any, command: Any) -> Any:
        return Sent(command.letter)

    @post.evolve(Sent, state=Letter | None)
    def sent(letter: Any, event: Any) -> Any:
        return Letter(event.letter)

    model = post.read_model("model")
    table = model.table("letters", key="letter")

    @model.on(Sent)
    def on_sent(event: Any, tables: Any) -> None:
        tables[table].put({"letter": event.letter})

    @post.query(reads=[model], cache=True)
    class Letters:
        def run(self, view: Any) -> list[str]:
            return sorted(row["letter"] for row in view[table].all())

    if middleware:

        @post.around_command
        def change(call: Any) -> Any:
            if call.metadata.get("as") == "burn":
                call.message = Burn(call.message.letter)
            return (yield)

        @post.around_query
        def pass_on(call: Any) -> Any:
            return (yield)

    @post.guard
    def allow(access: Access) -> None:
        seen.append(access)
        who = access.metadata.get("user") or user.get()
        if who == "ann" or (who == "bob" and access.types == (Send,)):
            return
        raise Forbidden(f"{who} may not {access.kind}", who=who)

    vars(post).update(Send=Send, Burn=Burn, Sent=Sent, Letters=Letters, model=model, table=table)
    return post


@pytest.fixture(params=[False, True], ids=["alone", "with middleware"])
def system(request: pytest.FixtureRequest) -> Iterator[Any]:
    post = domain_of(middleware=request.param)
    seen.clear()
    with quick_folder() as folder, System.open(folder, post, replicas=1) as opened:
        token = user.set("ann")
        opened.execute(post.Send("first"))
        opened.wait_applied()
        user.reset(token)
        seen.clear()
        yield opened


async def next_of(watch: Any) -> Any:
    return await anext(aiter(watch))


WAYS: dict[str, tuple[str, Callable[[System, Any], Any]]] = {
    "execute": ("command", lambda system, post: system.execute(post.Burn("x"))),
    "submit": ("command", lambda system, post: system.submit(post.Burn("x")).result(20)),
    "execute_many": ("command", lambda system, post: system.execute_many([post.Burn("x")])),
    "aexecute": ("command", lambda system, post: asyncio.run(system.aexecute(post.Burn("x")))),
    "aexecute_many": ("command", lambda system, post: asyncio.run(system.aexecute_many([post.Burn("x")]))),
    "append": ("append", lambda system, post: system.append("letter-x", [post.Sent("x")])),
    "session execute": ("command", lambda system, post: system.session().execute(post.Burn("x"))),
    "session submit": ("command", lambda system, post: system.session().submit(post.Burn("x")).result(20)),
    "session execute_many": ("command", lambda system, post: system.session().execute_many([post.Burn("x")])),
    "session aexecute": (
        "command",
        lambda system, post: asyncio.run(system.session().aexecute(post.Burn("x"))),
    ),
    "session append": ("append", lambda system, post: system.session().append("letter-x", [post.Sent("x")])),
    "query": ("query", lambda system, post: system.query(post.Letters())),
    "query_at": ("query", lambda system, post: system.query_at(post.Letters())),
    "query_many": ("query", lambda system, post: system.query_many([post.Letters()])),
    "aquery": ("query", lambda system, post: asyncio.run(system.aquery(post.Letters()))),
    "aquery_many": ("query", lambda system, post: asyncio.run(system.aquery_many([post.Letters()]))),
    "aquery_at": ("query", lambda system, post: asyncio.run(system.aquery_at(post.Letters()))),
    "session query": ("query", lambda system, post: system.session().query(post.Letters())),
    "watch": ("query", lambda system, post: next(iter(system.watch(post.Letters())))),
    "watch in a loop": ("query", lambda system, post: asyncio.run(next_of(system.watch(post.Letters())))),
    "view": ("view", lambda system, post: system.view(post.model).close()),
    "view of all": ("view", lambda system, post: system.view().close()),
    "session view": ("view", lambda system, post: system.session().view(post.model).close()),
    "dump": ("view", lambda system, post: system.dump("replica-1", post.model)),
    "stream": ("events", lambda system, post: system.stream("letter-first")),
    "streams": ("events", lambda system, post: system.streams()),
    "tagged": ("events", lambda system, post: system.tagged("sent")),
    "subscribe": ("events", lambda system, post: list(system.subscribe(until=system.position))),
    "subscribe to types": ("events", lambda system, post: system.subscribe(types=iter([post.Sent])).close()),
    "consumer": ("events", lambda system, post: system.consumer("one", types=post.Sent).close()),
    "consume": ("events", lambda system, post: system.consume("two", lambda delivery: None).close()),
    "plan_correction": ("events", lambda system, post: system.plan_correction(lambda event: None)),
    "closed_streams": ("events", lambda system, post: system.closed_streams()),
    "corrected_events": ("events", lambda system, post: system.corrected_events(1)),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_in_passes_the_guards(system: Any, way: str) -> None:
    kind, call = WAYS[way]
    post, position = system.domain, system.position
    with pytest.raises(Forbidden, match=f"nobody may not {kind}") as caught:
        call(system, post)
    assert (caught.value.code, caught.value.details) == ("forbidden", {"who": "nobody"})
    assert {one.kind for one in seen} == {kind}
    assert system.position == position
    assert system.consumers() == []
    token = user.set("ann")
    try:
        call(system, post)
    except Exception as error:
        assert way == "corrected_events", error  # noqa: PT017  (there is no correction)
    finally:
        user.reset(token)


OPERATORS = {
    *("archive", "archives", "plan_archive", "plan_removal", "remove_archive"),
    *("backup", "chain_head", "close", "close_streams", "compact", "consumers", "corrections", "digest"),
    *("delete_consumer", "discard_parked", "domain", "drop_effect", "effects", "forget", "health", "info"),
    *("kill", "on_applied", "on_broadcast", "on_committed", "open", "parked_streams", "path", "position"),
    *("process_managers", "quarantined_instances", "rebuild", "rebuilds", "reopen_streams", "replica_names"),
    *("replay_parked", "retry_effect", "retry_instance", "skip_event", "skip_instance", "skipped_events"),
    *("skip_process_manager", "unskip_event", "verify_log", "wait_applied", "wait_process_managers"),
    "wait_rebuilt",
}
"""For operators: guards are not asked about them, as docs/tenants.md says."""

ELSEWHERE = {"session", "process_manager_state", "process_manager_states"}


def test_every_method_of_a_system_is_guarded_or_for_operators() -> None:
    methods = {name for name in dir(System) if not name.startswith("_")}
    guarded = {way.removeprefix("session ").split()[0] for way in WAYS} | ELSEWHERE
    assert methods == guarded | OPERATORS
    assert not guarded & OPERATORS


def test_a_guard_is_told_what_and_by_whom(system: Any) -> None:
    post = system.domain
    system.execute(post.Burn("x"), metadata={"user": "ann"})
    system.append("letter-y", [post.Sent("y")], metadata={"user": "ann"})
    assert [(one.kind, one.message, one.types, one.stream) for one in seen] == [
        ("command", post.Burn("x"), (post.Burn,), None),
        ("append", None, (post.Sent,), "letter-y"),
    ]
    seen.clear()
    user.set("ann")
    try:
        system.query(post.Letters())
        system.view().close()
        system.stream("letter-x")
        system.subscribe(types="Sent", stream="letter-x").close()
        assert [(one.kind, one.types, one.names, one.stream) for one in seen] == [
            ("query", (post.Letters,), ("model",), None),
            ("view", (), ("model",), None),
            ("events", (), (), "letter-x"),
            ("events", (post.Sent,), (), "letter-x"),
        ]
    finally:
        user.set("nobody")


def test_one_refused_command_among_many_leaves_the_others(system: Any) -> None:
    post = system.domain
    user.set("bob")
    try:
        outcomes = system.execute_many(
            [post.Send("a"), post.Burn("b"), post.Send("c")], return_exceptions=True
        )
    finally:
        user.set("nobody")
    assert [type(one).__name__ for one in outcomes] == ["Receipt", "Forbidden", "Receipt"]


def test_what_middleware_or_a_merge_makes_of_a_command_is_asked_about() -> None:
    post = domain_of(middleware=True)
    with quick_folder() as folder, System.open(folder, post, replicas=1) as system:
        user.set("bob")
        try:
            system.execute(post.Send("a"))
            with pytest.raises(Forbidden, match="bob may not command"):
                system.execute(post.Send("a"), metadata={"as": "burn"})
            with pytest.raises(Forbidden, match="bob may not command"):
                system.execute(
                    post.Send("a"), expected_version=0, on_conflict=lambda conflict: post.Burn("a")
                )
            assert system.position == 1
        finally:
            user.set("nobody")


def test_a_cached_answer_and_one_of_a_worker_process_are_not_given_to_others() -> None:
    from tests.system import guarded

    with quick_folder() as folder, System.open(folder, guarded.post, replicas=1, workers="process") as system:
        token = guarded.user.set("ann")
        receipt = system.execute(guarded.Send("a"))
        for _ in range(2):
            assert system.query(guarded.Letters(), after=receipt) == ["a"]
        guarded.user.reset(token)
        for call in (lambda: system.query(guarded.Letters()), lambda: system.view()):
            with pytest.raises(Forbidden):
                call()


def test_a_guard_runs_for_the_one_who_submits_and_not_for_process_managers() -> None:
    post = domain_of()
    manager = post.process_manager("burning", key="letter", start="beginning")

    @manager.state
    class Burning:
        letter: str

    def on_sent(state: None, event: Any, do: Do) -> Any:
        if event.letter == "a":
            do.execute(post.Burn("ash"))
            return Burning(event.letter)
        return None

    on_sent.__annotations__.update(state=None, event=post.Sent)
    manager.on(on_sent)
    with quick_folder() as folder, System.open(folder, post, replicas=1) as system:
        user.set("bob")
        try:
            system.submit(post.Send("a")).result(20)
        finally:
            user.set("nobody")
        wait_until(lambda: system.position == 2)
        for call in (
            lambda: system.process_manager_states("burning"),
            lambda: system.process_manager_state("burning", "a"),
        ):
            with pytest.raises(Forbidden, match="nobody may not process_manager"):
                call()
        with ThreadPoolExecutor(1) as pool:  # whose thread has a context of its own
            assert isinstance(pool.submit(system.execute, post.Send("b")).exception(20), Forbidden)


@pytest.mark.parametrize("answer", [True, False, "no"])
def test_a_guard_that_answers_refuses(tmp_path: Path, answer: object) -> None:
    post = domain_of()
    post.guard(lambda access: answer)
    user.set("ann")
    try:
        with (
            System.open(tmp_path / "s", post, replicas=1) as system,
            pytest.raises(GuardFailed, match="Forbidden"),
        ):
            system.execute(post.Send("a"))
    finally:
        user.set("nobody")


def test_guards_that_can_not_be_called_are_refused_at_opening(tmp_path: Path) -> None:
    post = domain_of()

    @post.guard
    def waits(access: Access) -> Any:
        yield

    @post.guard  # type: ignore[arg-type]
    async def later(access: Access) -> None:
        pass

    @post.guard  # type: ignore[arg-type]
    def nothing() -> None:
        pass

    with pytest.raises(DomainError) as caught:
        System.open(tmp_path / "s", post)
    assert [
        one.partition("guard ")[2].partition(" must")[0].rpartition(".")[2] for one in caught.value.problems
    ] == [
        "waits",
        "later",
        "nothing",
    ]
    assert "must not yield" in str(caught.value)


def test_decisions_are_tested_without_guards() -> None:
    post = domain_of()
    given(post).when(post.Burn("x")).then(post.Sent("x"))


def test_the_error_survives_a_copy() -> None:
    error = Forbidden("no", code="letter.locked", letter="a")
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (str(other), other.code, other.details) == ("no", "letter.locked", {"letter": "a"})
    assert str(Forbidden()) == "forbidden"
