"""All meta commands of the shell, in the order in which `:help` lists them. A new one is added here."""

from __future__ import annotations

from collections.abc import Mapping

from actors.repl.commands import consumers, help, log, operations, process_managers, rebuild, watch
from actors.repl.meta_command import MetaCommand
from actors.repl.shell import Shell

__all__ = ["META_COMMANDS"]

META_COMMANDS: Mapping[str, MetaCommand[Shell]] = {
    command.name: command
    for command in (
        *help.COMMANDS,
        *operations.COMMANDS,
        *log.COMMANDS,
        *watch.COMMANDS,
        *rebuild.COMMANDS,
        *consumers.COMMANDS,
        *process_managers.COMMANDS,
    )
}
"""By name, with its colon."""
