"""Finding the function that a program of the command line is given. Main thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.cli.errors import CommandLineError
from actors.cli.imported_name import imported_name

__all__ = ["load_function"]


def load_function(option: str, where: str) -> Callable[..., Any]:
    """The function at `module:name`, given as this option. Raises `CommandLineError` when there is none."""
    found, what = imported_name(option, where, "MODULE:FUNCTION")
    if not callable(found):
        raise CommandLineError(f"{what}, and not a function")
    return found  # type: ignore[no-any-return]
