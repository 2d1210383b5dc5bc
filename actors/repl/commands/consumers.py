"""`:consumers`, `:parked` and `:replay`: consumers, and the streams they parked. The session's thread."""

from __future__ import annotations

from actors.cli.errors import UsageError, last_line, short
from actors.repl.ast import CallNode
from actors.repl.meta_command import meta_command
from actors.repl.shell import Shell
from actors.repl.table import Table
from actors.repl.value_text import counted, number
from actors.repl.vocabulary import did_you_mean

__all__ = ["COMMANDS"]


@meta_command(":consumers")
def consumers(shell: Shell, call: CallNode) -> None:
    """The consumers of the store by name: their positions, and how many streams they have parked."""
    shell.arguments(call)
    found = shell.system.consumers()
    if not found:
        shell.show("this store has no consumers", consumers=[])
        return
    rows = tuple(
        (
            one.name,
            one.wants,
            *map(number, (one.position, one.lag, one.open, one.in_flight, one.parked, one.replaying)),
        )
        for one in found
    )
    columns = ("consumer", "wants", "position", "lag", "open here", "in flight", "parked", "replaying")
    table = Table(columns, rows, frozenset(range(2, 8)), counted(len(found), "consumer"))
    shell.show(table, consumers=found)


@meta_command(":parked NAME", completes=("consumer",))
def parked(shell: Shell, call: CallNode) -> None:
    """The streams that a consumer parked, at which event, and why."""
    (name,) = shell.arguments(call, (("NAME", str, ...),))
    _require_consumer(shell, name)
    found = shell.system.parked_streams(name)
    if not found:
        shell.show(f"{name} has parked nothing", consumer=name, parked=[])
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
    title = f"{counted(len(found), 'stream')} parked by {name}"
    shell.show(Table(columns, rows, frozenset(range(1, 5)), title), consumer=name, parked=found)


@meta_command(":replay NAME [STREAM]", completes=("consumer", "stream"))
def replay(shell: Shell, call: CallNode) -> None:
    """Deliver what a consumer parked to it again: one stream, or all."""
    name, stream = shell.arguments(call, (("NAME", str, ...), ("STREAM", str, None)))
    _require_consumer(shell, name)
    if stream is not None:
        known = [one.stream for one in shell.system.parked_streams(name)]
        if stream not in known:
            raise UsageError(
                f"{name} has not parked stream {short(stream)}{did_you_mean(stream, known)}; "
                f"see :parked {name}"
            )
    count = shell.system.replay_parked(name, stream)
    shell.show(
        f"{counted(count, 'stream')} of {name} will be delivered again, to who consumes under that name"
        if count
        else f"{name} has parked nothing",
        consumer=name,
        replayed=count,
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
