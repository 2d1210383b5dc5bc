"""The files of a replica in a worker process, as the parent reads them: views, dumps, the last commit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from actors.domain.read_model import ReadModel
from actors.errors import QueryTimeout
from actors.worker_processes.parent.control_client import ControlClient
from actors.worker_processes.wire import protocol
from storage import Snapshot, SnapshotClosed, StoreClosed
from storage.codec.codec import Codec
from storage.errors import InvalidSchema
from storage.files.page_usage import FileUsage
from storage.replica.replica_reader import ReplicaReader

__all__ = ["RemoteCommitState", "RemoteStore"]

DUMP_TIMEOUT = 60.0
"""Seconds that a worker may take to give all rows of a model."""


class RemoteCommitState:
    """The `CommitStatus` of a worker's last commit: checkpoint, last change and build of each model."""

    __slots__ = ("models",)

    def __init__(self, models: Mapping[str, tuple[int, int, str]]) -> None:
        self.models = models

    def _of(self, model: str) -> tuple[int, int, str]:
        try:
            return self.models[model]
        except KeyError:
            known = ", ".join(self.models) or "none"
            raise InvalidSchema(f"the replica has no read model {model!r}; it has: {known}") from None

    def checkpoint(self, model: str) -> int:
        """The position of the last event that the model's active build includes."""
        return self._of(model)[0]

    def changed(self, model: str, name: str = "") -> int:  # noqa: ARG002
        """An upper bound of the position that last changed anything of the model."""
        return self._of(model)[1]

    def build(self, model: str) -> str:
        """The key of the model's active build."""
        return self._of(model)[2]

    def version(self, model: str) -> int:
        """The version of the model's code that filled the active build."""
        return int(self.build(model).rpartition("@")[2].partition(".")[0])


class RemoteStore:
    """The `SnapshotSource` of a replica in a worker: snapshots come from its files, dumps from the worker.

    The proxy's thread replaces `state`; any thread reads.
    """

    def __init__(
        self,
        path: str,
        models: Collection[ReadModel],
        codec: Codec,
        map_size: int | None,
        control: ControlClient,
    ) -> None:
        """`models` are all versions of its models, `control` is the way to the worker. Opens nothing yet."""
        self.path = Path(path)
        self.state = RemoteCommitState({})
        self.reset_on_bad_rows: Callable[[], bool] = lambda: True
        self._schemas = [model.schema for model in models]
        self._codec = codec
        self._map_size = map_size
        self._control = control
        self._lock = threading.Lock()
        self._reader: ReplicaReader | None = None
        self._closed = False

    def _open(self) -> ReplicaReader:
        with self._lock:
            if self._closed:
                raise StoreClosed(f"the replica {self.path} is closed; open it again")
            if self._reader is None:
                self._reader = ReplicaReader.open(
                    self.path, self._codec, self._schemas, map_size=self._map_size
                )
            return self._reader

    def snapshot(
        self, models: Collection[str] | None = None, *, closed: type[SnapshotClosed] = SnapshotClosed
    ) -> Snapshot:
        """As `SnapshotSource.snapshot`, of what is committed. Raises `StorageError` for models in memory."""
        reader = self._reader
        if reader is None:
            reader = self._open()
        return reader.snapshot(models, closed=closed)

    def usage(self) -> FileUsage:
        """As `SnapshotSource.usage`."""
        return self._open().usage()

    def readable(self) -> bool:
        """Whether its databases can be read at all."""
        reader = self._reader
        return reader is None or reader.readable()

    def dump(self, model: str, /) -> dict[str, list[dict[str, Any]]]:
        """As `SnapshotSource.dump`; waits for the worker. Raises what it raises there, and `QueryTimeout`."""
        try:
            data = self._control.request(protocol.DUMP, model).result(DUMP_TIMEOUT)
        except TimeoutError:
            raise QueryTimeout(
                f"{self.path.name} did not give the rows of {model!r} within {DUMP_TIMEOUT:g} s; look at "
                "health() what its process is busy with, and dump it again"
            ) from None
        return self._codec.unpack(data)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close what views read from."""
        with self._lock:
            self._closed = True
            reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
