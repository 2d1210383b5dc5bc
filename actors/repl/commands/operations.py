"""`:replicas`, `:lag`, `:health`, `:kill`, `:token` and `:quit`. The session's thread."""

from __future__ import annotations

from dataclasses import asdict

from actors.cli.errors import Quit, UsageError, short
from actors.repl.ast import CallNode
from actors.repl.meta_command import meta_command
from actors.repl.shell import Shell
from actors.repl.tables import actors_table, lag_table, replicas_table
from actors.repl.vocabulary import did_you_mean

__all__ = ["COMMANDS"]


RUNNING_FOR = 0.5
"""Seconds for which a call has to have been running to be shown: others come and go."""


@meta_command(":replicas")
def replicas(shell: Shell, call: CallNode) -> None:
    """The replicas: their lag and what they served."""
    shell.arguments(call)
    health = shell.system.health()
    title = f"{len(health.replicas)} replicas of a log of {health.position} events"
    shell.show(replicas_table(health).titled(title), position=health.position, replicas=health.replicas)


@meta_command(":lag")
def lag(shell: Shell, call: CallNode) -> None:
    """How far each model on each replica is."""
    shell.arguments(call)
    health = shell.system.health()
    table = lag_table(health).titled(f"committed up to position {health.position}")
    models = [
        {"replica": replica.name, **asdict(model)} for replica in health.replicas for model in replica.models
    ]
    shell.show(table, position=health.position, models=models)


@meta_command(":health")
def health(shell: Shell, call: CallNode) -> None:
    """Everything that runs and since when, and every problem."""
    shell.arguments(call)
    now = shell.system.health()
    writer = now.writer
    lines = [
        f"{now.status}: {now.path} at position {now.position}",
        *(f"problem: {problem}" for problem in now.problems),
        f"writer: {writer.commands} commands in {writer.batches} batches, {writer.refused} refused, "
        f"{writer.waiting} waiting",
        *(
            f"running: {one.kind} {one.name} for {one.seconds:.1f} s, {one.at}"
            for one in now.running
            if one.seconds > RUNNING_FOR
        ),
    ]
    if now.cache is not None:
        lines.append(
            f"result cache: {now.cache.hits} hits, {now.cache.misses} misses, "
            f"{now.cache.entries} results kept in {now.cache.bytes} bytes"
        )
    shell.show(*lines, actors_table(now), health=now)


@meta_command(":kill NAME", completes=("actor",))
def kill(shell: Shell, call: CallNode) -> None:
    """Have an actor die; the supervisor brings it back, and nothing is lost."""
    (name,) = shell.arguments(call, (("NAME", str, ...),))
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
    shell.show(
        f"{name} died and the supervisor brought it back (restarts: {restarts}). "
        f"Nothing is lost: the log is at position {reached}, and every replica has applied it.",
        killed=name,
        restarts=restarts,
        position=reached,
    )


@meta_command(":token [TOKEN]")
def session_token(shell: Shell, call: CallNode) -> None:
    """What this session wrote and saw, as a token; or see at least what the session of a token saw."""
    (given,) = shell.arguments(call, (("TOKEN", str, None),))
    if given is not None:
        shell.session = shell.system.session(
            max(shell.session.position, shell.system.session(given).position)
        )
        position = shell.session.position
        shell.show(f"this session sees position {position} and what comes after it", position=position)
        return
    token, position = shell.session.token, shell.session.position
    shell.show(token, token=token, position=position)


@meta_command(":quit")
def leave(shell: Shell, call: CallNode) -> None:
    """End the session; Ctrl-D does too."""
    shell.arguments(call)
    raise Quit


COMMANDS = (
    replicas,
    lag,
    health,
    kill,
    session_token,
    leave,
)
