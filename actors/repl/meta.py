"""The commands about the system itself: `:replicas`, `:log`, `:kill` and the like. The session's thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.repl.errors import Quit, UsageError, short
from actors.repl.present import (
    Table,
    actors_table,
    cell,
    events_table,
    lag_table,
    processes_table,
    replicas_table,
)
from actors.repl.registry import arguments, meta
from actors.repl.syntax import Call
from actors.repl.vocabulary import did_you_mean

if TYPE_CHECKING:
    from actors.repl.shell import Shell

__all__ = ["health", "kill", "lag", "leave", "log", "processes", "replicas", "stream"]

EVENTS = 20
"""How many events `:log` and `:stream` show unless told otherwise."""


@meta(":replicas")
def replicas(shell: Shell, call: Call) -> None:
    """The replicas: their lag and what they served."""
    arguments(shell, call, ())
    health = shell.system.health()
    shell.output.table(
        replicas_table(health), f"{len(health.replicas)} replicas of a log of {health.position} events"
    )


@meta(":lag")
def lag(shell: Shell, call: Call) -> None:
    """How far each model on each replica is."""
    arguments(shell, call, ())
    health = shell.system.health()
    shell.output.table(lag_table(health), f"committed up to position {health.position}")


@meta(":processes [NAME] [LIMIT]")
def processes(shell: Shell, call: Call) -> None:
    """The process managers and what keeps them, or the instances of one."""
    name, limit = arguments(shell, call, (("NAME", str, None), ("LIMIT", int, EVENTS)))
    managers = shell.system.processes()
    known = [one.name for one in managers]
    if name is None:
        if not managers:
            shell.output.say("this domain has no process managers")
            return
        shell.output.table(
            processes_table(managers), f"{len(managers)} process manager{'s' * (len(managers) != 1)}"
        )
        for one in managers:
            if one.failure is not None:
                shell.output.say(f"{one.name} is stopped at {one.stopped_at}:\n{one.failure}")
        return
    if name not in known:
        raise UsageError(f"there is no process manager {short(name)}{did_you_mean(name, known)}")
    found = shell.system.process_states(name, limit)
    if not found:
        shell.output.say(f"{name} has no instances now")
        return
    rows = tuple((key, cell(state, shell.vocabulary)) for key, state in found)
    shell.output.table(
        Table(("instance", "state"), rows), f"{len(found)} instance{'s' * (len(found) != 1)} of {name}"
    )


@meta(":log [AFTER] [LIMIT]")
def log(shell: Shell, call: Call) -> None:
    """Events of the log: the last ones, or those after a position."""
    after, limit = arguments(shell, call, (("AFTER", int, None), ("LIMIT", int, EVENTS)))
    head = shell.system.position
    first = max(head - limit, 0) if after is None else after
    if first < 0 or limit < 0:
        raise UsageError("AFTER and LIMIT count from 0")
    until = min(head, first + limit)
    events = list(shell.system.subscribe(first, until=until)) if until > first else []
    if not events:
        shell.output.say(f"no events after position {first}; the log ends at {head}")
        return
    title = f"{len(events)} of {head} events"
    if until < head:
        title += f"; the next ones: :log {until}"
    shell.output.table(events_table(events, shell.vocabulary), title)


@meta(":stream NAME [AFTER] [LIMIT]")
def stream(shell: Shell, call: Call) -> None:
    """Events of one stream, from the first or after a version."""
    hints = (("NAME", str, ...), ("AFTER", int, 0), ("LIMIT", int, EVENTS))
    name, after, limit = arguments(shell, call, hints)
    if after < 0 or limit < 1:
        raise UsageError("AFTER counts from 0 and LIMIT from 1")
    events = shell.system.stream(name, after, limit + 1)
    if not events:
        shell.output.say(f"stream {short(name)} has no events{f' after version {after}' if after else ''}")
        return
    title = f"stream {name}"
    if len(events) > limit:
        title += f"; the next ones: :stream {name} {events[limit - 1].version}"
    shell.output.table(events_table(events[:limit], shell.vocabulary), title)


@meta(":health")
def health(shell: Shell, call: Call) -> None:
    """Everything that runs, and every problem."""
    arguments(shell, call, ())
    now = shell.system.health()
    writer = now.writer
    shell.output.say(f"{now.status}: {now.path} at position {now.position}")
    for problem in now.problems:
        shell.output.say(f"problem: {problem}")
    shell.output.say(
        f"writer: {writer.commands} commands in {writer.batches} batches, {writer.refused} refused, "
        f"{writer.waiting} waiting"
    )
    if writer.busy_with is not None:
        command, name, seconds = writer.busy_with
        shell.output.say(f"deciding: {command} on stream {name} for {seconds:.1f} s")
    shell.output.table(actors_table(now))


@meta(":kill NAME")
def kill(shell: Shell, call: Call) -> None:
    """Have an actor die; the supervisor brings it back, and nothing is lost."""
    (name,) = arguments(shell, call, (("NAME", str, ...),))
    system = shell.system
    known = [one.name for one in system.health().actors]
    if name not in known:
        raise UsageError(
            f"there is no actor {short(name)}{did_you_mean(name, known)}; there are {', '.join(known)}"
        )
    before = system.position
    if not system.kill(name):
        raise UsageError(f"{name} was told to die but is not back yet; look at :health")
    restarts = next(one.restarts for one in system.health().actors if one.name == name)
    # What is said below is looked at first.
    reached = system.wait_applied()
    if reached < before:
        raise UsageError(f"the log went back from position {before} to {reached}")
    shell.output.say(
        f"{name} died and the supervisor brought it back (restarts: {restarts}). Nothing is lost: the log is at "
        f"position {reached}, and every replica has applied it."
    )


@meta(":quit")
def leave(shell: Shell, call: Call) -> None:
    """End the session; Ctrl-D does too."""
    arguments(shell, call, ())
    raise Quit
