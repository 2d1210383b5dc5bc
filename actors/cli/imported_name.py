"""Importing what an option names as `module:name`. Main thread."""

from __future__ import annotations

import importlib
from typing import Any

from actors.cli.errors import CommandLineError, describe

__all__ = ["imported_name"]


def imported_name(option: str, given: str, form: str, where: str = "") -> tuple[Any, str]:
    """What is at `module:name`, None for nothing, and "MODULE has WHAT as NAME" for an error about it.

    `where` is the full form of `given`, if that is short for something; `form` is how it has to be written.
    Raises `CommandLineError` if it is not written so, or the module can't be imported.
    """
    module_name, colon, name = (where or given).partition(":")
    if not colon or not module_name or not name:
        raise CommandLineError(f"{option} takes {form}, not {given!r}")
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise CommandLineError(
            f"{option} {given}: importing {module_name} failed: {describe(error)}"
        ) from error
    for part in name.split("."):
        found = getattr(found, part, None)
    got = "nothing" if found is None else f"a {type(found).__name__}"
    return found, f"{option} {given}: {module_name} has {got} as {name}"
