"""`:process_managers`, `:effects`, and commands to retry or skip what fails there. The session's thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from actors.cli.errors import UsageError, last_line, short
from actors.health import ProcessManagerHealth
from actors.process_managers.pending_effects import PendingEffect
from actors.repl.ast import CallNode
from actors.repl.meta_command import meta_command
from actors.repl.shell import Shell
from actors.repl.table import Table
from actors.repl.tables import cell, process_managers_table
from actors.repl.value_text import counted
from actors.repl.vocabulary import did_you_mean
from storage.errors import lacks_code

__all__ = ["COMMANDS"]

INSTANCES = 20
"""How many instances `:process_managers NAME` shows by default."""
QUARANTINED = 10
"""How many of the instances that are set aside `:process_managers` shows."""


@meta_command(":process_managers [NAME] [LIMIT]", completes=("process manager",))
def process_managers(shell: Shell, call: CallNode) -> None:
    """The process managers and what keeps them, or the instances of one."""
    name, limit = shell.arguments(call, (("NAME", str, None), ("LIMIT", int, INSTANCES)))
    managers = shell.system.process_managers()
    if name is None:
        if not managers:
            shell.show("this domain has no process managers", managers=[])
            return
        off = shell.system.health().managers_off
        table = process_managers_table(managers, off is not None)
        table = table.titled(counted(len(managers), "process manager"))
        trouble = [line for one in managers for line in _trouble(shell, one)]
        shell.show(table, *trouble, *([off] if off else ()), managers=managers, managers_off=off)
        return
    _require_manager(shell, name)
    found = shell.system.process_manager_states(name, limit)
    instances = [{"instance": key, "state": state} for key, state in found]
    if not found:
        shell.show(f"{name} has no instances now", manager=name, instances=instances)
        return
    rows = tuple((key, cell(state, shell.vocabulary)) for key, state in found)
    title = f"{counted(len(found), 'instance')} of {name}"
    shell.show(Table(("instance", "state"), rows, title=title), manager=name, instances=instances)


def _trouble(shell: Shell, one: ProcessManagerHealth) -> Iterator[str]:
    """Why a manager is stopped, and what it has set aside."""
    if one.failure is not None:
        skip = "" if lacks_code(one.failure) else f", :skip_process_manager {one.name} passes over that"
        yield f"{one.name} is stopped at {one.stopped_at}{skip}:\n{one.failure}"
    yield from _quarantine(shell, one)
    yield from _rejections(one)


def _quarantine(shell: Shell, one: ProcessManagerHealth) -> Iterator[str]:
    """The instances that are set aside, the first with its traceback."""
    if not one.quarantined:
        return
    yield (
        f"{one.name} has set aside {counted(one.quarantined, 'instance')}, "
        f":skip_instance {one.name} KEY passes over what one failed on:"
    )
    for number, instance in enumerate(shell.system.quarantined_instances(one.name, QUARANTINED)):
        yield f"{instance.text}; {instance.waiting} waiting"
        if not number and instance.traceback:
            yield instance.traceback
    more = one.quarantined - QUARANTINED
    if more > 0:
        yield f"and {more} more"


def _rejections(one: ProcessManagerHealth) -> Iterator[str]:
    """The last rejections that no handler took."""
    if one.rejections:
        yield f"{counted(one.rejections, 'rejection')} of commands of {one.name} found no handler, the last:"
        yield from one.last_rejections


@meta_command(":skip_process_manager MANAGER [REASON]", completes=("process manager",))
def skip_process_manager(shell: Shell, call: CallNode) -> None:
    """Have a stopped process manager pass over the input that it is stopped at, for good."""
    name, reason = shell.arguments(call, (("MANAGER", str, ...), ("REASON", str, "")))
    _require_manager(shell, name)
    passed = shell.system.skip_process_manager(name, reason)
    shell.show(f"{name} passes over {passed}; :process_managers shows whether it goes on")


@meta_command(":retry_instance MANAGER KEY", completes=("process manager",))
def retry_instance(shell: Shell, call: CallNode) -> None:
    """Try an instance that is set aside again, now."""
    name, key = shell.arguments(call, (("MANAGER", str, ...), ("KEY", str, ...)))
    _require_manager(shell, name)
    if shell.system.retry_instance(name, key):
        shell.show(f"{key} goes on")
    else:
        shell.show(f"{key} failed again; :process_managers shows why")


@meta_command(":skip_instance MANAGER KEY [REASON]", completes=("process manager",))
def skip_instance(shell: Shell, call: CallNode) -> None:
    """Have an instance that is set aside pass over what it failed on, for good."""
    hints = (("MANAGER", str, ...), ("KEY", str, ...), ("REASON", str, ""))
    name, key, reason = shell.arguments(call, hints)
    _require_manager(shell, name)
    passed = shell.system.skip_instance(name, key, reason)
    shell.show(f"{key} passes over {passed}; :process_managers shows whether it goes on")


@meta_command(":effects [NAME]", completes=("process manager",))
def effects(shell: Shell, call: CallNode) -> None:
    """What process managers asked of the outside and is not delivered: what waits, and what was parked."""
    (name,) = shell.arguments(call, (("NAME", str, None),))
    if name is not None:
        _require_manager(shell, name)
    names = [one.name for one in shell.system.process_managers()] if name is None else [name]
    found = [(manager, one) for manager in names for one in shell.system.effects(manager)]
    documents = [{"manager": manager, **_fields(one)} for manager, one in found]
    if not found:
        shell.show("no effect waits, and none is parked", effects=documents)
        return
    columns = ("manager", "key", "effect", "instance", "payload", "state")
    rows = tuple(
        (manager, one.key, one.name, one.instance, cell(one.payload, shell.vocabulary), _state(one))
        for manager, one in found
    )
    shell.show(Table(columns, rows, title=f"{counted(len(rows), 'effect')} not delivered"), effects=documents)


def _fields(one: PendingEffect) -> dict[str, Any]:
    # Not `asdict`: the payload stays as it is.
    return {field.name: getattr(one, field.name) for field in fields(one)}


@meta_command(":retry_effect MANAGER KEY", completes=("process manager",))
def retry_effect(shell: Shell, call: CallNode) -> None:
    """Deliver a parked effect again; `:effects` shows its key."""
    name, key = shell.arguments(call, (("MANAGER", str, ...), ("KEY", str, ...)))
    _require_manager(shell, name)
    shell.system.retry_effect(name, key)
    shell.show(f"{key} is delivered again; :effects shows it until it is")


@meta_command(":drop_effect MANAGER KEY", completes=("process manager",))
def drop_effect(shell: Shell, call: CallNode) -> None:
    """Give a parked effect up for good; `:effects` shows its key."""
    name, key = shell.arguments(call, (("MANAGER", str, ...), ("KEY", str, ...)))
    _require_manager(shell, name)
    shell.system.drop_effect(name, key)
    shell.show(f"{key} is given up")


def _state(one: PendingEffect) -> str:
    if one.parked is not None:
        return f"parked: {last_line(one.parked)}"
    return "waits" if one.behind is None else f"waits behind {one.behind}"


def _require_manager(shell: Shell, name: str) -> None:
    known = [one.name for one in shell.system.process_managers()]
    if name not in known:
        raise UsageError(f"there is no process manager {short(name)}{did_you_mean(name, known)}")


COMMANDS = (
    process_managers,
    skip_process_manager,
    retry_instance,
    skip_instance,
    effects,
    retry_effect,
    drop_effect,
)
