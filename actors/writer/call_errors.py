"""The errors of a call whose command was not handed over, or not answered, in time. Pure."""

from __future__ import annotations

from actors.errors import CommandTimeout, Overloaded
from actors.kernel.mailbox import Mailbox

__all__ = ["late", "no_reply", "overloaded"]


def late(command_id: str, timeout: float, number: int = 1) -> CommandTimeout:
    """The error of a command that was not handed over since the time of its call was over.

    `number` is that of the attempt, from 1.
    """
    if number == 1:
        return CommandTimeout(
            command_id,
            f"command {command_id!r} was not handed over, and nothing was written: the {timeout:g} s of its "
            "call were over "
            "before; execute it again with this command_id, or give a longer timeout=",
        )
    return CommandTimeout(
        command_id,
        f"command {command_id!r} was not handed over once more: the {timeout:g} s of its call are over; what "
        "the attempt "
        "before it did may or may not be on disk: execute it again with this command_id to find out",
    )


def no_reply(command_id: str, timeout: float) -> CommandTimeout:
    """The error of a command that was handed over, and has no outcome at the end of its call."""
    return CommandTimeout(
        command_id,
        f"no reply to command {command_id!r} within {timeout:g} s; it may or may not be on disk: "
        "execute it again with this command_id to find out",
    )


def overloaded(mailbox: Mailbox) -> Overloaded:
    """The error of what found no room in the writer's mailbox, or was held back."""
    held = mailbox.held_because
    if held is not None:
        return Overloaded(
            f"commands are held back because {held}; nothing was done; try again later, or give a longer "
            "timeout="
        )
    return Overloaded(
        f"the command handler's mailbox stayed full ({len(mailbox)} commands wait); nothing was done; "
        "try again later, give a longer timeout=, or open the system with a larger mailbox_size="
    )
