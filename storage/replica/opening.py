"""Opens a replica: data that can be trusted are used, the rest is reset. The opener's thread."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import lmdb

from storage.codec.codec import Codec
from storage.errors import DamagedStore, OtherEngine
from storage.files.arguments import checked_map_size, resolved_path
from storage.files.damage import damaged_records
from storage.files.environment import DATA_FILE, StoreLock, check_directory, make_directory
from storage.files.opening_resources import OpeningResources
from storage.files.page_check import find_first_problem
from storage.files.stop_mark import current_boot_id
from storage.log.history import History
from storage.replica.catalog import AGAIN
from storage.replica.files import (
    SIBLINGS,
    ReplicaState,
    delete_database,
    read_state,
    reason_to_distrust,
    write_state,
)
from storage.replica.open_builds import OpenBuilds
from storage.replica.preparation import (
    inspect_replica,
    needed_databases,
    open_replica_environment,
    prepare_builds,
)
from storage.tables.schema import ModelSchema


class OpenedReplica(NamedTuple):
    """An open replica: its path and resources; `reset_reason` says why something was reset, or is None."""

    path: Path
    environment: lmdb.Environment
    lock: StoreLock
    builds: OpenBuilds
    reset_reason: str | None


def open_replica(
    path: str | os.PathLike[str],
    models: Sequence[ModelSchema],
    codec: Codec,
    history: History,
    map_size: int | None,
    boot_id: str | None,
    resources: OpeningResources,
) -> OpenedReplica:
    """Open or create the replica at `path`; `resources` gets what that acquires.

    Raises as `ReplicaStore.open`.
    """
    path = resolved_path(path)
    checked_map_size(map_size)
    boot_id = current_boot_id() if boot_id is None else boot_id
    databases = new = needed_databases(models, history)  # raises InvalidSchema before anything is touched
    state = read_state(path)
    reason = None
    try:
        exists = check_directory(path, siblings=SIBLINGS)
    except (DamagedStore, OtherEngine) as error:
        if state is None:
            raise _doubtful(path, error) from error
        exists, reason = True, str(error)
    make_directory(path, durable=False)
    lock = resources.slot(StoreLock.release)
    lock.resource = held = StoreLock(path)
    doubt = held.doubt() if held.before else None
    held.sign()
    if exists and reason is None:
        reason = reason_to_distrust(state, boot_id)
        if reason is None and doubt is not None and (found := find_first_problem(path / DATA_FILE)):
            reason = f"{doubt}, and it is damaged: {found[0]}"
        try:
            # An unmarked directory is read in any case: nothing but a replica may be deleted.
            if reason is None or state is None:
                found_out = inspect_replica(path, history, models, resources)
                reason = found_out.reason or reason
                databases = found_out.databases
        except DamagedStore as error:
            if state is None:
                raise _doubtful(path, error) from error
            reason = str(error)
    if reason is not None:
        delete_database(path)
        databases = new
    write_state(path, ReplicaState("running", boot_id))
    try:
        with damaged_records(str(path), AGAIN):
            environment, builds = _open_builds(path, map_size, databases, history, models, codec, resources)
    except (DamagedStore, sqlite3.Error) as error:
        # Also for a frozen build of another engine: its code is gone, so only a reset helps.
        reason = str(error)
        delete_database(path)
        environment, builds = _open_builds(path, map_size, new, history, models, codec, resources)
    held.opened()
    return OpenedReplica(path, environment, held, builds, reason or builds.reset_reason)


def _doubtful(path: Path, error: Exception) -> DamagedStore:
    """The error for a directory that only its name calls a replica: it is not deleted without being asked."""
    return DamagedStore(
        f"{path} holds files that are not, or no longer, those of a replica ({error}); if it is a replica, "
        "delete the directory: it is filled from the log again"
    )


def _open_builds(
    path: Path,
    map_size: int | None,
    databases: int,
    history: History,
    models: Sequence[ModelSchema],
    codec: Codec,
    resources: OpeningResources,
) -> tuple[lmdb.Environment, OpenBuilds]:
    """The environment, with space for so many databases, and with the builds that these models need."""
    opened, held = resources.slot(lmdb.Environment.close), resources.slot(OpenBuilds.close)
    try:
        opened.resource = environment = open_replica_environment(path, map_size, databases)
        layout = prepare_builds(path, environment, history, models)
        held.resource = builds = OpenBuilds(path, environment, layout, codec, history)
        return environment, builds
    except BaseException:
        held.release()
        opened.release()
        raise
