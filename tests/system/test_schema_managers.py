"""Process managers in a store's schema: one that is gone or renamed, and classes of what they hold."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from actors import Do, Domain, DomainError, System
from actors.testing import TestSystem
from actors.worker_processes.parent.remote_progress import RemoteProgress
from tests import inside

LATER = timedelta(days=1)


class Post:
    """Letters that are sent, and reminded of; each option changes one thing."""

    def __init__(
        self,
        *,
        manager: str | None = "saga",
        formerly: str | tuple[str, ...] = (),
        version: int = 1,
        timer: dict[str, Any] | None = None,
        classes: tuple[str, str] = ("Waiting", "Remind"),
        once: tuple[str, str] | None = None,
    ) -> None:
        self.domain = post = Domain("post")
        self.sent: list[str] = []

        @post.event(state=None)
        class Written:
            letter: str

        @post.event(state=None)
        class Answered:
            letter: str

        self.Written, self.Answered = Written, Answered
        if manager is None:
            return
        saga = post.process_manager(
            manager, key="letter", start="beginning", version=version, formerly=formerly
        )

        state_was, timer_was = once or ((), ())

        @saga.state(name=classes[0], formerly=state_was)
        class Waiting:
            letter: str

        Remind = saga.timer(name=classes[1], formerly=timer_was)(
            type("Remind", (), {"__annotations__": {"letter": str, **(timer or {})}})
        )

        @saga.on(Written)
        def written(state: Any, event: Any, do: Do) -> Waiting:
            do.effect("send", event.letter)
            do.after(LATER, Remind(event.letter, *(timer or {})))
            return Waiting(event.letter)

        @saga.on(Answered)
        def answered(state: Waiting, event: Any, do: Do) -> None:
            do.end()

        @saga.on_timer(Remind)
        def remind(state: Waiting, timer: Any, do: Do) -> None:
            do.effect("send", f"{state.letter} again")

        @saga.effect("send")
        def send(payload: str, key: str) -> None:
            self.sent.append(payload)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two letters, of which each has an instance and a timer."""
    post = Post()
    with System.open(tmp_path / "store", post.domain, replicas=1) as system:
        system.append("letters", [post.Written("a"), post.Written("b")])
        system.wait_process_managers()
    assert post.sent == ["a", "b"]
    return tmp_path / "store"


def refused(path: Path, post: Post, **options: Any) -> tuple[str, ...]:
    with pytest.raises(DomainError) as caught:
        System.open(path, post.domain, replicas=1, **options)
    return caught.value.problems


GONE = (
    "process manager saga has no declaration in this code; it has left 2 instances and 2 timers; "
    "declare it with "
    "formerly='saga' if it was renamed; else let the old program finish what it has"
)


@pytest.mark.parametrize("manager", [None, "chase"])
def test_a_manager_that_has_something_left_is_missed_at_opening(store: Path, manager: str | None) -> None:
    assert refused(store, Post(manager=manager)) == (GONE,)  # and nothing of what is only its own
    renamed = Post(manager=manager)
    with System.open(store, renamed.domain, replicas=1, accept=["saga"]) as system:
        system.wait_process_managers()
    # Who knows better has all that is in the log handled again.
    assert renamed.sent == ([] if manager is None else ["a", "b"])


def test_a_manager_that_is_renamed_sends_nothing_again(store: Path) -> None:
    renamed = Post(manager="chase", formerly="saga")
    for _ in range(2):
        with System.open(store, renamed.domain, replicas=1) as system:
            system.wait_process_managers()
            assert [one.name for one in system.process_managers()] == ["chase"]
            assert set(dict(inside.notes(system, b"schema/manager/"))) == {b"schema/manager/chase"}
    assert renamed.sent == []


def test_a_manager_that_has_nothing_left_may_go(store: Path) -> None:
    post = Post()
    with System.open(store, post.domain, replicas=1) as system:
        system.append("letters", [post.Answered("a"), post.Answered("b")])
        system.wait_process_managers()
    with System.open(store, Post(manager=None).domain, replicas=1) as system:
        assert system.position == 4
        assert not inside.notes(system, b"schema/manager/")


def test_a_store_without_a_schema_misses_a_manager_too(store: Path) -> None:
    with System.open(store, Post().domain, replicas=1) as system:
        inside.put_notes(system, *((key, None) for key, _ in inside.notes(system, b"schema/")))
    assert refused(store, Post(manager=None)) == (GONE,)


def test_a_timer_that_waits_needs_its_class_unless_the_version_is_raised(store: Path) -> None:
    changed: dict[str, Any] = {"text": str}
    [problem] = refused(store, Post(timer=changed))
    assert problem.endswith(
        "value Remind has a new field 'text' without a default; 2 records of process manager saga hold "
        "it; give "
        'it a default, or write @post.upcast("Remind", 1) that adds it'
    )
    with System.open(store, Post(version=2, timer=changed).domain, replicas=1) as system:
        system.wait_process_managers()


def test_a_state_and_a_timer_that_were_renamed_go_on_under_their_former_names(store: Path) -> None:
    now, once = ("Expecting", "Nudge"), ("Waiting", "Remind")
    problems = refused(store, Post(classes=now))
    assert [problem.partition(" has no class in this code; ")[0][-13:] for problem in problems] == [
        " value Remind",
        "value Waiting",
    ]
    assert all("2 records of process manager saga hold it; " in problem for problem in problems)
    renamed = Post(classes=now, once=once)
    with TestSystem.open(store, renamed.domain, replicas=1) as system:
        system.wait_process_managers()
        assert [type(state).__name__ for _, state in system.process_manager_states("saga")] == ["Waiting"] * 2
        system.append("letters", [renamed.Written("c")])
        system.wait_process_managers()
        system.advance(LATER)
        system.wait_process_managers()
    assert renamed.sent == ["c", "a again", "b again", "c again"]


def test_a_renamed_manager_whose_version_is_raised_may_drop_its_timers_too(store: Path) -> None:
    changed = Post(manager="chase", formerly="saga", version=2, timer={"text": str})
    with System.open(store, changed.domain, replicas=1) as system:
        system.wait_process_managers()
        assert system.process_managers()[0].timers == 2
    assert changed.sent == []


def test_a_reader_is_refused_as_a_writer_is(store: Path) -> None:
    stranger = Domain("garage")
    for options in ({}, {"mode": "read"}):
        with pytest.raises(DomainError, match="domain post made what is stored") as caught:
            System.open(store, stranger, replicas=1, **options)  # type: ignore[arg-type]
        assert len(caught.value.problems) == 3
    with System.open(store, Post().domain, replicas=1, mode="read") as reader:
        assert reader.position == 2


def test_a_worker_that_lost_its_replica_is_withheld_until_its_model_is_settled() -> None:
    progress = RemoteProgress(10, ["prices", "names"], ["replica-1", "replica-2"])
    for name in progress.replicas:
        progress.applied(name, [("prices", 10), ("names", 10)])
    progress.withhold_after_reset(["prices"])
    progress.mark_unreachable("replica-2")
    progress.mark_reachable("replica-2", [("prices", 0), ("names", 0)])
    progress.applied("replica-2", [("prices", 10), ("names", 10)])
    assert progress.withheld("prices") == {"replica-2"}
    assert progress.floor("replica-2", ["prices"]) > 10
    assert progress.floor("replica-2", ["names"]) == 10
    progress.mark_unreachable("replica-2")
    progress.mark_reachable("replica-2", [("prices", 10), ("names", 10)])
    assert progress.floor("replica-2", ["prices"]) > 10
    progress.settle("prices")
    assert progress.floor("replica-2", ["prices"]) == 10
    assert not progress.withheld("prices")
