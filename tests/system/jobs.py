"""The domain of the tests of process managers: jobs that are begun by hand and worked on by a manager.

Work has no rule that would hide a second one: whatever the manager does twice is there twice. `jobs_of` makes
a domain anew, so that a test may open one store with several versions of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from actors import Do, Domain, Reader, Rejected, Rejection

first = Domain("jobs")
DELAY = timedelta(minutes=10)


def unmarked(id: str) -> str:
    """An id that a manager gave, without the mark at its end that makes it unique in the world."""
    asked, _, mark = id.rpartition(":")
    assert len(mark) == 24, id
    return asked


@first.state(stream="job-{job}")
class Job:
    job: str
    kind: str


@first.state(stream="desk-{job}")
class Desk:
    job: str
    worked: int


@first.event(Job)
class Begun:
    job: str
    kind: str


@first.event(Job, state=None)
class Nudged:
    job: str


@first.event(Desk)
class Worked:
    job: str
    note: str


@first.event(Job, state=None)
class Undone:
    job: str
    why: str


@first.command(Job)
class Begin:
    job: str
    kind: str = ""


@first.command(Job)
class Nudge:
    job: str


@first.command(Desk)
class Work:
    job: str
    kind: str = ""
    note: str = ""

    def validate(self) -> None:
        if self.kind == "invalid":
            raise Rejected("not valid", code="work.invalid")
        if self.kind == "broken":
            raise RuntimeError("a bug in validate")


@first.command(Job)
class Undo:
    job: str
    why: str


class Progress:
    """The manager's state in its first version."""

    job: str
    worked: int = 0
    refused: str = ""


class Later:
    job: str


Old = first.value(Progress)
Later = first.value(Later)


@first.value
class Newer:
    """The manager's state in its second version."""

    job: str
    heard: tuple[str, ...] = ()


MESSAGES = [one for one in first.declarations.classes if one.cls not in (Old, Later, Newer)]


@dataclass
class World:
    """What lies outside of the domain: faults that a test asks for, and what was delivered."""

    bugs: set[str] = field(default_factory=set)
    sent: list[tuple[Any, str]] = field(default_factory=list)
    send: Callable[[Any, str], Any] = lambda _payload, _key: None


def jobs_of(
    world: World | None = None,
    *,
    version: int = 1,
    start: Any = "beginning",
    manager: bool = True,
    attempts: int = 3,
) -> Domain:
    """The domain with its process manager `worker`, in its first or second version, or without it."""
    domain = Domain("jobs")
    outside = world or World()
    domain.declarations.classes.extend(MESSAGES)
    domain.decide(begin)
    domain.decide(nudge)
    domain.decide(undo)
    domain.evolve(begun)
    domain.evolve(worked)

    @domain.decide
    def work(desk: Desk | None, command: Work, read: Reader):
        if command.kind in outside.bugs:
            raise RuntimeError("a bug in the decider")
        if command.kind == "refused":
            raise Rejected("no such work", code="work.refused", kind=command.kind)
        yield Worked(command.job, command.note)

    if manager:
        (declare_first if version == 1 else declare_second)(domain, outside, version, start, attempts)
    return domain


def begin(job: Job | None, command: Begin):
    if job is not None:
        raise Rejected("begun already", code="job.exists")
    yield Begun(command.job, command.kind)


def nudge(job: Job, command: Nudge):
    yield Nudged(command.job)


def undo(job: Job, command: Undo):
    yield Undone(command.job, command.why)


def begun(job: None, event: Begun) -> Job:
    return Job(event.job, event.kind)


def worked(desk: Desk | None, event: Worked) -> Desk:
    return Desk(event.job, 1 + (desk.worked if desk else 0))


def declare_first(domain: Domain, world: World, version: int, start: Any, attempts: int) -> None:
    """Work on what is begun, tell of what is worked, undo what is refused or not worked in time."""
    worker = domain.process_manager("worker", key="job", start=start, version=version)
    worker.state(Old)
    worker.timer(Later)

    def job_of(event: Begun) -> str:
        if event.kind == "key" and "key" in world.bugs:
            raise RuntimeError("a bug in the key")
        return event.job

    @worker.on(key=job_of)
    def on_begun(state: None, event: Begun, do: Do) -> Progress:
        if event.kind in world.bugs and event.kind.startswith("handler"):
            raise (SystemExit if event.kind == "handler exits" else RuntimeError)("a bug in the handler")
        if event.kind != "idle":
            do.execute(Work(event.job, event.kind, "first"))
        do.after(DELAY, Later(event.job))
        return Old(event.job)

    @worker.on
    def on_worked(state: Old, event: Worked, do: Do) -> Old:
        do.effect("tell", [event.job, event.note])
        return replace(state, worked=state.worked + 1)

    @worker.on
    def on_nudged(state: Old, event: Nudged, do: Do) -> Old | None:
        if state.refused == "done":
            do.end()
            return None
        do.execute(Work(event.job, "", f"nudged after {state.worked}{state.refused}"))
        return None

    @worker.on_rejected
    def on_rejected(state: Old, rejection: Rejection[Work], do: Do) -> Old:
        do.execute(Undo(state.job, f"{rejection.code}: {rejection.text}"))
        return replace(state, refused=rejection.code)

    @worker.on
    def on_undone(state: Old, event: Undone, do: Do) -> None:
        if event.why == "late":
            do.end()

    @worker.on_timer
    def on_later(state: Old, timer: Later, do: Do) -> None:
        do.execute(Undo(state.job, "late"))

    @worker.effect("tell", attempts=attempts)
    def tell(payload: Any, key: str) -> Any:
        world.sent.append((payload, key))
        return world.send(payload, key)


def declare_second(domain: Domain, world: World, version: int, start: Any, attempts: int) -> None:
    """Remembers what it heard."""
    worker = domain.process_manager("worker", key="job", start=start, version=version)
    worker.state(Newer)
    worker.timer(Later)

    @worker.on
    def on_begun(state: None, event: Begun, do: Do) -> Newer:
        if event.kind != "idle":
            do.execute(Work(event.job, event.kind, "second version"))
        do.effect("tell", "begun")
        do.after(DELAY, Later(event.job))
        return Newer(event.job, ("begun",))

    @worker.on
    def on_event(state: Newer, event: Worked | Nudged | Undone, do: Do) -> Newer:
        if isinstance(event, Undone) and event.why == "late":
            do.end()
        return replace(state, heard=(*state.heard, type(event).__name__.lower()))

    @worker.on_rejected
    def on_rejected(state: Newer, rejection: Rejection[Work], do: Do) -> Newer:
        do.execute(Undo(state.job, "second version"))
        return replace(state, heard=(*state.heard, rejection.code))

    @worker.on_timer
    def on_later(state: Newer, timer: Later, do: Do) -> Newer:
        do.execute(Undo(state.job, "late"))
        return replace(state, heard=(*state.heard, "later"))

    @worker.effect("tell", attempts=attempts)
    def tell(payload: Any, key: str) -> None:
        world.sent.append((payload, key))
