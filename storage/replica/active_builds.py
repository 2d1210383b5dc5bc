"""The active builds of a replica that another process fills, read from its LMDB environment. It has no lock.

The active builds and their positions are read in the transaction that reads the tables, so they always belong
together, and the other process need not send anything. When that process resets the replica it creates new
files, which are then opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import lmdb

from storage.errors import NotAStore, StorageError, StoreClosed
from storage.files.damage import file_identity, is_readable
from storage.files.environment import DATA_FILE, open_environment
from storage.files.error_translation import translate
from storage.files.header import META_DB, read_header
from storage.files.opening_resources import ResourceSlot
from storage.log.history import pack_checkpoint, unpack_checkpoint
from storage.replica.builds import checkpoint_key, engine_checkpoint_key
from storage.replica.catalog import active_key, find_active, open_table
from storage.replica.commit_state import CommitState
from storage.replica.files import SIBLINGS
from storage.replica.open_build import BuildMark, OpenBuild
from storage.tables.schema import ModelSchema

__all__ = ["ActiveBuilds"]

_GENERATIONS = 8
"""How many builds of each model fit before all handles must be opened again."""

_OTHER_DATABASES = 64
NO_CHECKPOINT = pack_checkpoint(0)


class ActiveBuilds:
    """Read transactions on the replica at `path`, and the state that each shows.

    `on_detach` is called before the environment is closed: afterwards no transaction may be open.
    """

    def __init__(
        self, path: Path, models: Sequence[ModelSchema], map_size: int | None, on_detach: Callable[[], None]
    ) -> None:
        self._what = f"the replica {path}"
        self.path = path
        self._file = str(self.path / DATA_FILE)
        self._identity: tuple[int, int] | None = None
        self._names = list(dict.fromkeys(model.name for model in models))
        self._code = {(model.name, model.fingerprint()): model for model in models}
        tables = sum(1 + len(table.indexes) for model in models for table in model.tables)
        self._max_dbs = _OTHER_DATABASES + _GENERATIONS * tables
        self._map_size = map_size
        self._on_detach = on_detach
        self._environment: lmdb.Environment | None = None
        self._state: CommitState | None = None
        self._hold({})

    def attach(self) -> lmdb.Environment:
        """Open the present files, unless they are open; returns the environment.

        Raises StoreClosed if there are none yet, or they are incomplete; NotAStore, NewerFormat,
        StorageError.
        """
        identity = file_identity(self._file)
        if self._environment is not None and identity == self._identity:
            return self._environment
        self.detach()
        opened = ResourceSlot(lmdb.Environment.close)
        try:
            opened.resource = environment = self._opened(identity)
            if read_header(environment, "replica", length=False) is None:
                raise StoreClosed(f"{self._what} is being created; try again")
            self._meta = environment.open_db(META_DB, create=False)
            self._identity = identity
            self._environment = environment
            return environment
        except BaseException:
            self._environment = None
            opened.release()
            raise

    def _opened(self, identity: tuple[int, int] | None) -> lmdb.Environment:
        try:
            return open_environment(
                self.path,
                map_size=self._map_size,
                max_dbs=self._max_dbs,
                readonly=True,
                create=False,
                siblings=SIBLINGS,
            )
        except StorageError as error:
            # It was removed or replaced between the two checks.
            same = identity is not None and file_identity(self._file) == identity
            if same and not (isinstance(error, NotAStore) and _is_empty(self._file)):
                raise
            raise StoreClosed(f"{self._what} does not exist, or is being reset; try again") from error

    def begin_read(self) -> tuple[lmdb.Transaction[bytes], CommitState]:
        """A read transaction and its state. Call `in_other_engines` before, which checks the files.

        Raises what `attach` raises, and LMDB's errors.
        """
        while True:
            environment = self._environment or self.attach()
            try:
                txn = environment.begin()
            except lmdb.MapResizedError:
                self.detach()
                continue
            try:
                state = self._state_in(txn)
            except BaseException:
                txn.abort()
                raise
            if state is not None:
                return txn, state
            txn.abort()
            self._refresh()

    def in_other_engines(self) -> Mapping[str, OpenBuild]:
        """The active builds of other engines than LMDB, by model; the next transaction may have others."""
        self.attach()
        if not self._active:
            self._refresh()
        return self._in_other_engines

    def readable(self) -> bool:
        """Whether the databases can be read."""
        return self._environment is None or is_readable(self._environment)

    def detach(self) -> None:
        """Close the files; a second call does nothing. If interrupted, it can be called again."""
        environment = self._environment
        if environment is not None:
            self._on_detach()
            self._hold({})
            environment.close()
            self._environment = None

    # -- inside ----------------------------------------------------------------------------------------------
    def _state_in(self, txn: lmdb.Transaction[bytes]) -> CommitState | None:
        """The replica's state in this transaction; None if builds are active that are not known yet."""
        number = txn.id()
        if self._state is not None and self._state.txn_id == number:
            return self._state
        with txn.cursor(self._meta) as cursor:
            found = dict(cursor.getmulti(self._keys))
        marks: dict[str, BuildMark] = {}
        for build, active, raw, checkpoint in self._expected:
            if found.get(active) != raw:
                return None
            position = unpack_checkpoint(found.get(checkpoint) or NO_CHECKPOINT)[0]
            marks[build] = position, position, {}
        if len(marks) < len(self._names):
            return None
        self._state = CommitState(number, self._active, marks)
        return self._state

    def _refresh(self) -> None:
        """Find the active builds, and open their databases."""
        environment = self.attach()
        with environment.begin() as txn:
            builds = find_active(txn, self._meta, self._names)
        missing = [name for name in self._names if name not in builds]
        if missing:
            raise StoreClosed(f"{self._what} holds no read model {missing[0]!r} yet; try again")
        known = {opened.key: opened for opened in self._active.values()}
        active: dict[str, OpenBuild] = {}
        try:
            for model, found in builds.items():
                build = found.with_code(self._code.get((model, found.fingerprint)))
                active[model] = known.get(build.key) or OpenBuild(
                    build,
                    {
                        table: open_table(environment, None, build, table)
                        for table in build.stored_schema.tables
                    },
                )
        except lmdb.NotFoundError:
            raise StoreClosed(f"{self._what} is being opened; try again") from None
        except lmdb.DbsFullError as error:
            if not known:
                raise translate(error, f"opening the tables of {self.path}") from error
            self.detach()
        else:
            self._hold(active)

    def _hold(self, active: Mapping[str, OpenBuild]) -> None:
        self._active = active
        self._in_other_engines = {
            model: opened for model, opened in active.items() if opened.build.stored_schema.engine != "lmdb"
        }
        self._expected = []
        for model, opened in active.items():
            key = opened.key
            checkpoint = (
                engine_checkpoint_key(key) if model in self._in_other_engines else checkpoint_key(key)
            )
            self._expected.append((key, active_key(model), key.encode(), checkpoint))
        self._keys = sorted(
            key for _, active_at, _, checkpoint in self._expected for key in (active_at, checkpoint)
        )
        self._state = None


def _is_empty(file: str | os.PathLike[str]) -> bool:
    try:
        return os.path.getsize(file) == 0
    except OSError:
        return True
