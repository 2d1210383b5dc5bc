"""`:process_managers`, `:effects` and what mends either: process managers and their care. The session's thread."""

from __future__ import annotations

from actors.cli.errors import UsageError, last_line, short
from actors.health import ProcessManagerHealth
from actors.process_managers.pending_effects import PendingEffect
from actors.repl.ast import CallNode
from actors.repl.meta_command import meta_command
from actors.repl.shell import Shell
from actors.repl.tables import Table, cell, process_managers_table
from actors.repl.vocabulary import did_you_mean

__all__ = ["COMMANDS"]

INSTANCES = 20
"""How many instances `:process_managers NAME` shows unless told otherwise."""
QUARANTINED = 10
"""How many of the instances that are set aside `:process_managers` shows."""


@meta_command(":process_managers [NAME] [LIMIT]", completes=("process manager",))
def process_managers(shell: Shell, call: CallNode) -> None:
    """The process managers and what keeps them, or the instances of one."""
    name, limit = shell.arguments(call, (("NAME", str, None), ("LIMIT", int, INSTANCES)))
    managers = shell.system.process_managers()
    if name is None:
        if not managers:
            shell.output.say("this domain has no process managers")
            return
        shell.output.table(
            process_managers_table(managers), f"{len(managers)} process manager{'s' * (len(managers) != 1)}"
        )
        for one in managers:
            if one.failure is not None:
                shell.output.say(
                    f"{one.name} is stopped at {one.stopped_at}, :skip_process_manager {one.name} passes over that:\n{one.failure}"
                )
            _show_quarantine(shell, one)
            _show_rejections(shell, one)
        return
    _require_manager(shell, name)
    found = shell.system.process_manager_states(name, limit)
    if not found:
        shell.output.say(f"{name} has no instances now")
        return
    rows = tuple((key, cell(state, shell.vocabulary)) for key, state in found)
    shell.output.table(
        Table(("instance", "state"), rows), f"{len(found)} instance{'s' * (len(found) != 1)} of {name}"
    )


def _show_quarantine(shell: Shell, one: ProcessManagerHealth) -> None:
    """The instances that are set aside, the first with its traceback."""
    if not one.quarantined:
        return
    more = one.quarantined - QUARANTINED
    shell.output.say(
        f"{one.name} has set aside {one.quarantined} instance{'s' * (one.quarantined != 1)}, "
        f":skip_instance {one.name} KEY passes over what one failed on:"
    )
    for number, instance in enumerate(shell.system.quarantined_instances(one.name, QUARANTINED)):
        shell.output.say(f"{instance.text}; {instance.waiting} waiting")
        if not number and instance.traceback:
            shell.output.say(instance.traceback)
    if more > 0:
        shell.output.say(f"and {more} more")


def _show_rejections(shell: Shell, one: ProcessManagerHealth) -> None:
    """The last rejections that no handler took."""
    if one.rejections:
        shell.output.say(
            f"{one.rejections} rejection{'s' * (one.rejections != 1)} of commands of {one.name} found no handler, the last:"
        )
        for text in one.last_rejections:
            shell.output.say(text)


@meta_command(":skip_process_manager MANAGER [REASON]", completes=("process manager",))
def skip_process_manager(shell: Shell, call: CallNode) -> None:
    """Have a stopped process manager pass over the input that it is stopped at, for good."""
    name, reason = shell.arguments(call, (("MANAGER", str, ...), ("REASON", str, "")))
    _require_manager(shell, name)
    passed = shell.system.skip_process_manager(name, reason)
    shell.output.say(f"{name} passes over {passed}; :process_managers shows whether it goes on")


@meta_command(":retry_instance MANAGER KEY", completes=("process manager",))
def retry_instance(shell: Shell, call: CallNode) -> None:
    """Try an instance that is set aside again, now."""
    name, key = shell.arguments(call, (("MANAGER", str, ...), ("KEY", str, ...)))
    _require_manager(shell, name)
    if shell.system.retry_instance(name, key):
        shell.output.say(f"{key} goes on")
    else:
        shell.output.say(f"{key} failed again; :process_managers shows why")


@meta_command(":skip_instance MANAGER KEY [REASON]", completes=("process manager",))
def skip_instance(shell: Shell, call: CallNode) -> None:
    """Have an instance that is set aside pass over what it failed on, for good."""
    hints = (("MANAGER", str, ...), ("KEY", str, ...), ("REASON", str, ""))
    name, key, reason = shell.arguments(call, hints)
    _require_manager(shell, name)
    passed = shell.system.skip_instance(name, key, reason)
    shell.output.say(f"{key} passes over {passed}; :process_managers shows whether it goes on")


@meta_command(":effects [NAME]", completes=("process manager",))
def effects(shell: Shell, call: CallNode) -> None:
    """What process managers asked of the outside and is not delivered: what waits, and what was parked."""
    (name,) = shell.arguments(call, (("NAME", str, None),))
    if name is not None:
        _require_manager(shell, name)
    names = [one.name for one in shell.system.process_managers()] if name is None else [name]
    rows = tuple(
        (
            manager,
            one.key,
            one.name,
            one.instance,
            cell(one.payload, shell.vocabulary),
            _state(one),
        )
        for manager in names
        for one in shell.system.effects(manager)
    )
    if not rows:
        shell.output.say("no effect waits, and none is parked")
        return
    columns = ("manager", "key", "effect", "instance", "payload", "state")
    shell.output.table(Table(columns, rows), f"{len(rows)} effect{'s' * (len(rows) != 1)} not delivered")


@meta_command(":retry_effect MANAGER KEY", completes=("process manager",))
def retry_effect(shell: Shell, call: CallNode) -> None:
    """Deliver a parked effect again; `:effects` shows its key."""
    name, key = shell.arguments(call, (("MANAGER", str, ...), ("KEY", str, ...)))
    _require_manager(shell, name)
    shell.system.retry_effect(name, key)
    shell.output.say(f"{key} is delivered again; :effects shows it until it is")


@meta_command(":drop_effect MANAGER KEY", completes=("process manager",))
def drop_effect(shell: Shell, call: CallNode) -> None:
    """Give a parked effect up for good; `:effects` shows its key."""
    name, key = shell.arguments(call, (("MANAGER", str, ...), ("KEY", str, ...)))
    _require_manager(shell, name)
    shell.system.drop_effect(name, key)
    shell.output.say(f"{key} is given up")


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
