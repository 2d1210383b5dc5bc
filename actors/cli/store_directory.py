"""The directory that a program of the command line is given as a store. Opens nothing. Main thread."""

from __future__ import annotations

import os

from actors.cli.errors import CommandLineError
from actors.replication.replicas_folder import REPLICAS
from storage.files.environment import DATA_FILE

__all__ = ["is_store", "kept_replicas", "require_store"]


def is_store(path: str) -> bool:
    """Whether a directory has a log in it."""
    return os.path.isfile(os.path.join(path, DATA_FILE))


def require_store(path: str) -> None:
    """Raise `CommandLineError` unless it is a store: opening makes what is missing."""
    if not is_store(path):
        raise CommandLineError(f"{path} is not a store; give the directory that System.open was given")


def kept_replicas(store: str) -> int:
    """How many replicas a store has, or as many as a system opens by default where it has none."""
    try:
        found = [name for name in os.listdir(os.path.join(store, REPLICAS)) if name.startswith("replica-")]
    except FileNotFoundError:
        found = []
    return len(found) or 3
