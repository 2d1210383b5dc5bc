"""The files of a replica next to its database: a record of its end, and their deletion. The opener's thread.

A replica runs without fsync, since it can be filled again from the log. After a clean stop, or if only the
process died, everything in the system's cache reaches the disk. If the machine itself went down, it may not
have: then the state file records another boot id and no clean stop, and the replica must be reset. The state
file also marks the directory as a replica: without it, nothing is ever deleted.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from storage.files.environment import DATA_FILE
from storage.files.error_translation import from_system
from storage.files.opening_resources import sync_directory

STATE_FILE = "running"
STATE_FILES = (STATE_FILE, STATE_FILE + ".new")
ENGINES_FOLDER = "engines"
"""The folder of other engines' builds, with a directory for each."""

SIBLINGS = (*STATE_FILES, ENGINES_FOLDER)
"""A replica's files besides those of LMDB."""

_TITLE = "onewriter replica"


class ReplicaState(NamedTuple):
    """`how` is "running", "clean" or "condemned"; `detail` is the boot id, nothing, or the reason."""

    how: str
    detail: str


def read_state(path: Path) -> ReplicaState | None:
    """The state of the replica in a directory; None without a state file of ours. Raises StorageError."""
    try:
        title, how, detail = (path / STATE_FILE).read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        # With None, a replica whose state cannot be read now would be deleted.
        raise from_system(error, f"the state of the replica at {path} cannot be read", path) from error
    return ReplicaState(how, detail) if title == _TITLE else None


def write_state(path: Path, state: ReplicaState) -> None:
    """Replace the state file, and wait until it is on disk."""
    current, fresh = (path / name for name in STATE_FILES)
    try:
        with fresh.open("w") as file:
            file.write(f"{_TITLE}\n{state.how}\n{state.detail}\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(current)
        sync_directory(path)
    except OSError as error:
        raise from_system(error, f"the state of the replica cannot be written to {current}", path) from error


def reason_to_distrust(state: ReplicaState | None, boot_id: str) -> str | None:
    """Why a database must not be trusted, before it is even opened; or None."""
    if state is None:
        return "its state file is missing"
    if state.how == "running" and not (boot_id and state.detail == boot_id):
        return "the machine went down while it was in use"
    return state.detail if state.how == "condemned" else None


def delete_database(path: Path) -> None:
    """Delete the database files of a closed replica, and those of other engines. Raises StorageError."""
    try:
        # Builds of another history must not be taken for builds of this one.
        with suppress(FileNotFoundError):
            shutil.rmtree(path / ENGINES_FOLDER)
        for name in (DATA_FILE, "lock.mdb"):
            (path / name).unlink(missing_ok=True)
    except OSError as error:
        raise from_system(error, f"the replica at {path} cannot be reset", path) from error
