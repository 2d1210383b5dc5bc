"""The builds of a replica that belong to another engine than LMDB: opens and deletes them.

The opener's thread, and the thread that applies events.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from storage.codec.codec import Codec
from storage.engines.base import ModelStore
from storage.errors import DamagedStore
from storage.files.error_translation import from_system
from storage.files.opening_resources import ResourceSlot
from storage.log.history import History
from storage.replica.builds import Build
from storage.replica.files import ENGINES_FOLDER
from storage.tables.schema import ENGINES

if TYPE_CHECKING:
    from storage.engines.memory.store import MemoryStore
    from storage.engines.sqlite.store import SqliteStore

    _kept_to: list[type[ModelStore]] = [SqliteStore, MemoryStore]


def engine_directory(path: Path, build: str) -> Path:
    """The directory of the build with this key, in the replica at `path`."""
    return path / ENGINES_FOLDER / build


def database_file(path: Path, build: Build) -> Path:
    """The file of a build in SQLite, in the replica at `path`."""
    from storage.engines.sqlite.store import FILE

    return engine_directory(path, build.key) / FILE


def engine_class(engine: str) -> type[ModelStore]:
    """The class whose stores hold this engine's builds; imported when it is first needed."""
    found: type[ModelStore] = resolve_name(ENGINES[engine])
    return found


def open_engine_store(
    path: Path, build: Build, codec: Codec, history: History
) -> tuple[ModelStore, str | None]:
    """Open a build's store in the replica at `path`; returns it, and why it had to be reset, or None.

    Raises DamagedStore if it is damaged and frozen, and what `ModelStore.open` raises.
    """
    engine = engine_class(build.stored_schema.engine)
    directory = engine_directory(path, build.key)
    try:
        directory.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise from_system(error, f"the directory {directory.parent} cannot be made", path) from error
    opened: ResourceSlot[ModelStore] = ResourceSlot(_close)
    reason = None
    try:
        opened.resource = store = engine.open(directory, build.schema, codec)
        reason = history.reason_against(build.model, store.checkpoint, store.digest)
        if reason is None:
            return store, None
        opened.release()
    except DamagedStore as error:
        reason = str(error)
    except BaseException:
        opened.release()
        raise
    if build.schema is None:
        raise DamagedStore(reason)
    engine.delete(directory)
    return engine.open(directory, build.schema, codec), reason


def _close(store: ModelStore) -> None:
    store.close()


def delete_engine_store(path: Path, build: Build) -> None:
    """Delete the files of a closed store of this build."""
    engine_class(build.stored_schema.engine).delete(engine_directory(path, build.key))


def delete_other_engine_stores(path: Path, keep: Collection[str]) -> None:
    """Delete the directories of all builds except those whose keys are in `keep`."""
    try:
        found = list((path / ENGINES_FOLDER).iterdir())
    except FileNotFoundError:
        return
    for directory in found:
        if directory.name not in keep:
            shutil.rmtree(directory, ignore_errors=True)
