"""`:rebuild`, `:rebuilds`, `:skip`, `:unskip`, `:skipped`: rebuilding read models, and events that they skip.

The session's thread.
"""

from __future__ import annotations

import time

from actors.cli.errors import UsageError, short
from actors.domain.read_model import ReadModel
from actors.errors import ConsistencyTimeout
from actors.health import Rebuild
from actors.repl.ast import CallNode
from actors.repl.meta_command import meta_command
from actors.repl.options import REBUILD_OPTIONS, read_options
from actors.repl.shell import Shell
from actors.repl.table import Table
from actors.repl.tables import rebuilds_table
from actors.repl.value_text import counted, number
from actors.repl.vocabulary import did_you_mean

__all__ = ["COMMANDS"]

EVERY = 1.0
"""Seconds between two lines of progress."""


@meta_command(":rebuild MODEL [--background]", REBUILD_OPTIONS, completes=("read model",))
def rebuild(shell: Shell, call: CallNode) -> None:
    """Rebuild a model from the log and switch to it; after Ctrl-C it goes on in the background."""
    options = read_options(call, REBUILD_OPTIONS, shell.converter)
    (name,) = shell.arguments(call, (("MODEL", str, ...),))
    model = _model(shell, name)
    began = time.monotonic()
    shell.system.rebuild(model)
    if options.get("background"):
        shell.show(f"{name} is being rebuilt; :rebuilds shows how far it is", started=name)
        return
    try:
        while not _rebuilt(shell, model):
            for one in shell.system.rebuilds():
                if one.model == name and one.state == "building":
                    shell.show(_progress(one), rebuild=one)
    except KeyboardInterrupt:
        shell.output.note(f"\nthe rebuild of {name} goes on; :rebuilds shows how far it is")
        return
    position, seconds = shell.system.position, time.monotonic() - began
    shell.show(
        f"{name} is rebuilt, and every replica that has it serves the new tables: "
        f"{number(position)} events of the log in {seconds:.1f} s",
        rebuilt=name,
        position=position,
        seconds=seconds,
    )


def _rebuilt(shell: Shell, model: ReadModel) -> bool:
    try:
        shell.system.wait_rebuilt(model, EVERY)
    except ConsistencyTimeout:
        return False
    return True


def _progress(one: Rebuild) -> str:
    rate = "" if one.events_per_second is None else f", {one.events_per_second:,.0f} events a second"
    left = "" if one.seconds_left is None else f", {one.seconds_left:,.0f} s left"
    return f"{one.replica}: {one.position:,} of {one.head:,} events{rate}{left}"


@meta_command(":rebuilds")
def rebuilds(shell: Shell, call: CallNode) -> None:
    """The rebuilds that are under way, by replica, and how far they are."""
    shell.arguments(call)
    running = shell.system.rebuilds()
    if not running:
        shell.show("nothing is being rebuilt", rebuilds=[])
        return
    failures = (
        f"{one.model} on {one.replica} stopped:\n{one.failure}" for one in running if one.failure is not None
    )
    table = rebuilds_table(running).titled(f"{counted(len(running), 'rebuild')} under way")
    shell.show(table, *failures, rebuilds=running)


@meta_command(":skip MODEL POSITION [REASON]", completes=("read model",))
def skip(shell: Shell, call: CallNode) -> None:
    """Have a model skip the event that it is stopped at, on every replica; `:unskip` takes it back."""
    hints = (("MODEL", str, ...), ("POSITION", int, ...), ("REASON", str, ""))
    name, position, reason = shell.arguments(call, hints)
    shell.system.skip_event(_model(shell, name), position, reason)
    shell.show(
        f"{name} passes over the event at position {position}; :lag shows whether it goes on",
        model=name,
        skipped_position=position,
    )


@meta_command(":unskip MODEL POSITION", completes=("read model",))
def unskip(shell: Shell, call: CallNode) -> None:
    """Take the skip of an event back, and rebuild the model so that the event counts again."""
    name, position = shell.arguments(call, (("MODEL", str, ...), ("POSITION", int, ...)))
    shell.system.unskip_event(_model(shell, name), position)
    shell.show(
        f"{name} gets the event at position {position} again, and is being rebuilt; :rebuilds shows how far "
        "it is",
        model=name,
        unskipped_position=position,
    )


@meta_command(":skipped")
def skipped(shell: Shell, call: CallNode) -> None:
    """The events that models skip, why and since when."""
    shell.arguments(call)
    found = shell.system.skipped_events()
    if not found:
        shell.show("no model passes over an event", skipped=[])
        return
    rows = tuple(
        (one.model, number(one.position), one.time.isoformat(sep=" ", timespec="seconds")[:19], one.reason)
        for one in found
    )
    columns = ("model", "position", "time (UTC)", "reason")
    table = Table(columns, rows, frozenset({1}), f"{counted(len(found), 'event')} passed over")
    shell.show(table, skipped=found)


def _model(shell: Shell, name: str) -> ReadModel:
    """The newest version of a read model of the domain."""
    models = {
        one.name: one
        for one in sorted(shell.system.domain.declarations.read_models, key=lambda one: one.version)
    }
    if name not in models:
        raise UsageError(
            f"there is no read model {short(name)}{did_you_mean(name, models)}; "
            f"there are {', '.join(models) or 'none'}"
        )
    return models[name]


COMMANDS = (
    rebuild,
    rebuilds,
    skip,
    unskip,
    skipped,
)
