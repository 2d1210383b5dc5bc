"""What a store holds and how full its files are, of a running system or of a store on disk. Any thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import lmdb

from actors.replication.replica_status import SnapshotSource
from actors.replication.replicas_folder import REPLICAS
from actors.runtime.parts import Parts
from storage import ArchiveRecord, Codec, StorageError
from storage.files.disk_space import DiskSpace
from storage.files.environment import DATA_FILE, open_environment
from storage.files.error_translation import translate
from storage.files.page_check import DEFAULT_VERIFY_BYTES
from storage.files.page_usage import FileUsage, file_usage
from storage.files.store_lock import holder_of
from storage.log.log_follower import LogFollower
from storage.log.log_reader import LogReader
from storage.replica.files import ENGINES_FOLDER

__all__ = ["ReplicaInfo", "StoreInfo", "info_of_store", "info_of_system"]


@dataclass(frozen=True, slots=True)
class ReplicaInfo:
    """The files of one replica: `usage` is that of its tables, `engines_bytes` the size of other engines'.

    `problem` says why the tables' file could not be read; `usage` is None then.
    """

    name: str
    usage: FileUsage | None
    engines_bytes: int
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """A store at one moment.

    - `history`: the id of its history; `format`: of its files; `created`: when it was made
    - `position`: the last committed position; `events` is the number of events, `streams` of streams, None if
      they were not counted, `commands` of command ids, `notes` of what consumers, process managers and others
      keep, `snapshots` of stored states, `tags` of pairs of a tag and an event
    - `log`: how full its file is; `replicas`: the same of each replica
    - `archives`: the archives, those that were removed, too, and where their files are
    - `disk`: the bytes of the file system with the log, and how many are free
    - `held_by`: who has it open for writing, None for nobody
    """

    path: str
    history: str
    format: int
    created: datetime
    position: int
    events: int
    streams: int | None
    commands: int
    notes: int
    snapshots: int
    tags: int
    log: FileUsage
    replicas: tuple[ReplicaInfo, ...]
    archives: tuple[ArchiveRecord, ...]
    disk: DiskSpace
    held_by: str | None

    def as_dict(self) -> dict[str, Any]:
        """The same as nested dicts and lists, for JSON; the time is text in ISO 8601."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def info_of_system(parts: Parts, *, count_streams: bool) -> StoreInfo:
    """That of a running system. Raises what reading the log does."""
    parts.progress.latest_head()
    stores = dict(parts.replicas.stores)
    return _info(parts.log, count_streams, tuple(_of_open(name, store) for name, store in stores.items()))


def info_of_store(path: str, *, count_streams: bool) -> StoreInfo:
    """That of a store on disk, which another process may have open. Raises as `LogFollower.open`."""
    with LogFollower.open(path, Codec(), verify_bytes=DEFAULT_VERIFY_BYTES) as log:
        log.advance(log.committed_head())
        replicas = [_closed(folder) for folder in _replica_folders(log.path)]
        return _info(log, count_streams, tuple(replicas))


def _info(log: LogReader, count_streams: bool, replicas: tuple[ReplicaInfo, ...]) -> StoreInfo:
    position, stats = log.head, log.stats()
    return StoreInfo(
        path=str(log.path),
        history=log.history_id,
        format=log.format,
        created=log.created,
        position=position,
        events=stats["events"],
        streams=log.count_streams() if count_streams else None,
        commands=stats["commands"],
        notes=stats["notes"],
        snapshots=stats["snapshots"],
        tags=stats["tags"],
        log=log.usage(),
        replicas=replicas,
        archives=tuple(log.archives()),
        disk=DiskSpace.at(log.path),
        held_by=holder_of(log.path),
    )


def _of_open(name: str, store: SnapshotSource) -> ReplicaInfo:
    engines = _engines_bytes(store.path)
    try:
        return ReplicaInfo(name, store.usage(), engines)
    except StorageError as error:  # it is being reset
        return ReplicaInfo(name, None, engines, str(error))


def _replica_folders(path: Path) -> list[Path]:
    return sorted(path.glob(f"{REPLICAS}/*/"), key=lambda folder: (len(folder.name), folder.name))


def _closed(folder: Path) -> ReplicaInfo:
    engines = _engines_bytes(folder)
    if not (folder / DATA_FILE).exists():
        return ReplicaInfo(folder.name, None, engines, "it has no file of tables")

    @contextmanager
    def reading() -> Iterator[tuple[lmdb.Environment, int]]:
        try:
            with environment.begin() as transaction:
                yield environment, transaction.id()
        except lmdb.Error as error:
            raise translate(error, f"reading {folder}", folder) from error

    try:
        environment = open_environment(folder, readonly=True, create=False)
        try:
            return ReplicaInfo(folder.name, file_usage(folder, reading), engines)
        finally:
            environment.close()
    except StorageError as error:
        return ReplicaInfo(folder.name, None, engines, str(error))


def _engines_bytes(folder: Path) -> int:
    found = 0
    for directory, _, names in os.walk(folder / ENGINES_FOLDER):
        for name in names:
            try:
                found += os.stat(os.path.join(directory, name)).st_size
            except FileNotFoundError:
                continue
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, FileUsage):
        return _plain({**value._asdict(), "used_bytes": value.used_bytes, "free_bytes": value.free_bytes})
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
