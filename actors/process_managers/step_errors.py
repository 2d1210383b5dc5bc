"""Why a step can't be planned or done. Internal to process managers: no user meets these errors."""

from __future__ import annotations

from typing import Any

from actors.errors import described
from actors.process_managers.inputs import Input

__all__ = ["CommandsFailed", "InputFailed"]


class InputFailed(Exception):
    """A handler raised, asked for something that can't be, or the event can't be decoded.

    `id` is the input's, `what` it is in words, `position` that of an event that is no input yet, and `part`
    and `parts` those of a `RecordedEvent`.
    """

    def __init__(
        self,
        id: str,
        what: str,
        error: BaseException,
        position: int | None = None,
        part: int = 0,
        parts: int = 1,
    ) -> None:
        self.id = id
        self.what = what
        self.error = error
        self.position = position
        self.part = part
        self.parts = parts
        super().__init__(f"{what}: {described(error)}")


class CommandsFailed(Exception):
    """A command of a step failed otherwise than by a rejection: nothing of the step was written."""

    def __init__(self, input: Input, command: Any, error: Exception) -> None:
        self.input = input
        self.command = command
        self.error = error
        super().__init__(f"{type(command).__name__}: {described(error)}")
