"""The file that a repository keeps a schema in. Main thread."""

from __future__ import annotations

import json

from actors.cli.errors import CommandLineError
from actors.schema.description import Schema

__all__ = ["load_schema"]


def load_schema(path: str) -> Schema:
    """The schema in a file that `onewriter schema show --json` made. Raises `CommandLineError`."""
    try:
        with open(path, encoding="utf-8") as file:
            return Schema.of(json.load(file))
    except OSError as error:
        raise CommandLineError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CommandLineError(
            f"{path} has no schema: {error}; make it with schema show DOMAIN --json"
        ) from error
