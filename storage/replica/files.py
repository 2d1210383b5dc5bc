"""The files of a replica beside its database: whether it was stopped cleanly, and doing away with it.

A replica runs without fsync, since it can be built anew from the log. After a clean stop, or when only the process
died, what the system's cache holds reaches the disk whole. When the machine itself went down it may not have: then
the boot id in the state file is another one, no clean stop is noted, and the replica must be begun anew.
The state file also marks the directory as a replica: without it, nothing is ever deleted. The opener's thread.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from storage.files.environment import DATA_FILE
from storage.files.error_translation import from_system
from storage.files.opening_resources import sync_directory

STATE_FILE = "running"
STATE_FILES = (STATE_FILE, STATE_FILE + ".new")
ENGINES_FOLDER = "engines"
"""The folder of the builds that other engines keep, a directory for each."""

SIBLINGS = (*STATE_FILES, ENGINES_FOLDER)
"""What a replica has beside the files of LMDB."""

_TITLE = "onewriter replica"


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """`how` is "running", "clean" or "condemned"; `detail` is the boot id, nothing, or the reason."""

    how: str
    detail: str


def read_state(path: Path) -> ReplicaState | None:
    """The state of the replica in a directory, None where there is no state file that we wrote. Raises StorageError."""
    try:
        title, how, detail = (path / STATE_FILE).read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        # None would have a replica that can't be looked at now be deleted.
        raise from_system(error, f"the state of the replica at {path} cannot be read", path) from error
    return ReplicaState(how, detail) if title == _TITLE else None


def write_state(path: Path, state: ReplicaState) -> None:
    """Replace the state file and wait until it is on disk."""
    current, fresh = (path / name for name in STATE_FILES)
    try:
        with fresh.open("w") as file:
            file.write(f"{_TITLE}\n{state.how}\n{state.detail}\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(current)
        sync_directory(path)
    except OSError as error:
        raise from_system(error, f"the state of the replica cannot be noted in {current}", path) from error


def reason_to_distrust(state: ReplicaState | None, boot_id: str) -> str | None:
    """Why a database is not to be relied on before it is even opened, or None."""
    if state is None:
        return "its state file is missing"
    if state.how == "running" and not (boot_id and state.detail == boot_id):
        return "the machine went down while it was in use"
    return state.detail if state.how == "condemned" else None


def delete_database(path: Path) -> None:
    """Delete the database files of a closed replica, those of other engines too. Raises StorageError."""
    try:
        # What is left of another history must not be taken for this one's.
        with suppress(FileNotFoundError):
            shutil.rmtree(path / ENGINES_FOLDER)
        for name in (DATA_FILE, "lock.mdb"):
            (path / name).unlink(missing_ok=True)
    except OSError as error:
        raise from_system(error, f"the replica at {path} cannot be begun anew", path) from error
