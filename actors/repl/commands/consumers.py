"""`:consumers`, `:parked` and `:replay`: persistent subscriptions, and what they gave up. The session's thread."""

from __future__ import annotations

from actors.cli.errors import UsageError, last_line, short
from actors.repl.ast import CallNode
from actors.repl.meta_command import meta_command
from actors.repl.shell import Shell
from actors.repl.tables import Table
from actors.repl.value_text import number
from actors.repl.vocabulary import did_you_mean

__all__ = ["COMMANDS"]


@meta_command(":consumers")
def consumers(shell: Shell, call: CallNode) -> None:
    """The consumers that the store knows by name: where they are, and what they have parked."""
    shell.arguments(call)
    found = shell.system.consumers()
    if not found:
        shell.output.say("this store has no consumers")
        return
    rows = tuple(
        (
            one.name,
            one.wants,
            *map(number, (one.position, one.lag, one.open, one.in_flight, one.parked, one.replaying)),
        )
        for one in found
    )
    columns = ("consumer", "wants", "position", "lag", "open here", "in hand", "parked", "replaying")
    shell.output.table(
        Table(columns, rows, frozenset(range(2, 8))), f"{len(found)} consumer{'s' * (len(found) != 1)}"
    )


@meta_command(":parked NAME", completes=("consumer",))
def parked(shell: Shell, call: CallNode) -> None:
    """The streams that a consumer parked, at which event, and why."""
    (name,) = shell.arguments(call, (("NAME", str, ...),))
    _require_consumer(shell, name)
    found = shell.system.parked_streams(name)
    if not found:
        shell.output.say(f"{name} has parked nothing")
        return
    rows = tuple(
        (
            one.stream,
            *map(number, (one.position, one.version, one.attempts, one.following)),
            last_line(one.reason),
        )
        for one in found
    )
    columns = ("stream", "position", "version", "deliveries", "wait behind it", "reason")
    shell.output.table(
        Table(columns, rows, frozenset(range(1, 5))),
        f"{len(found)} stream{'s' * (len(found) != 1)} parked by {name}",
    )


@meta_command(":replay NAME [STREAM]", completes=("consumer", "stream"))
def replay(shell: Shell, call: CallNode) -> None:
    """Have what a consumer parked delivered to it again: one stream, or all."""
    name, stream = shell.arguments(call, (("NAME", str, ...), ("STREAM", str, None)))
    _require_consumer(shell, name)
    if stream is not None:
        known = [one.stream for one in shell.system.parked_streams(name)]
        if stream not in known:
            raise UsageError(
                f"{name} has not parked stream {short(stream)}{did_you_mean(stream, known)}; see :parked {name}"
            )
    count = shell.system.replay_parked(name, stream)
    shell.output.say(
        f"{count} stream{'s' * (count != 1)} of {name} will be delivered again, to who consumes under that name"
        if count
        else f"{name} has parked nothing"
    )


def _require_consumer(shell: Shell, name: str) -> None:
    known = [one.name for one in shell.system.consumers()]
    if name not in known:
        raise UsageError(
            f"there is no consumer {short(name)}{did_you_mean(name, known)}; "
            f"there are {', '.join(known) or 'none'}"
        )


COMMANDS = (
    consumers,
    parked,
    replay,
)
