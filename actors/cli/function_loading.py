"""Finding the function that a program of the command line is given. Main thread."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from actors.cli.errors import CommandLineError, describe

__all__ = ["load_function"]


def load_function(option: str, where: str) -> Callable[..., Any]:
    """The function at `module:name`, given as this option. Raises `CommandLineError` when there is none."""
    module_name, colon, name = where.partition(":")
    if not colon or not module_name or not name:
        raise CommandLineError(f"{option} takes MODULE:FUNCTION, not {where!r}")
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise CommandLineError(
            f"{option} {where}: importing {module_name} failed: {describe(error)}"
        ) from error
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        got = "nothing" if found is None else f"a {type(found).__name__}"
        raise CommandLineError(f"{option} {where}: {module_name} has {got} as {name}, and not a function")
    return found  # type: ignore[no-any-return]
