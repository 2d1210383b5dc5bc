"""The room that an open `System` takes. Callers' threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from actors.kernel.late_import import late_import
from actors.system.base import SystemBase
from actors.timeouts import checked_timeout

if TYPE_CHECKING:
    from actors.runtime.store_info import StoreInfo
    from storage.log.live_compaction import Compaction

__all__ = ["StorageMethods"]


class StorageMethods(SystemBase):
    """What the store holds, and how full its files are. What they need is imported at their first use."""

    def info(self, *, count_streams: bool = True) -> StoreInfo:
        """What the store holds, and the size and free pages of its files by database; any thread.

        It takes as long for a large store as for a small one, but for the number of streams: a million of
        them take a few seconds. With `count_streams=False` they are not counted. Raises DamagedStore.
        """
        with late_import("what info() needs"):
            from actors.runtime.store_info import info_of_system

        return info_of_system(self._running(), count_streams=count_streams)

    def compact(
        self, *, timeout: float = 60.0, progress: Callable[[int, int], None] = lambda _done, _total: None
    ) -> Compaction:
        """Rewrite the log's file, without its free pages, while commands and queries go on.

        The file is copied, what was committed meanwhile follows, and between two batches of the writer the
        copy takes its place: commands wait for that, some tens of milliseconds, and the result says how long.
        Programs that have the store open with `mode="read"` open the new file at their next read. It needs as
        much free disk as the new file takes, and as much as is written meanwhile, since nothing is used again
        until the end. A process that dies in the middle leaves the old file or the new one. The old one is
        overwritten before it is removed, unless another process is reading it. Views of inline models end.

        `progress` is called with the bytes that are copied, and about how many it will be. Any caller's
        thread. Raises StorageError if reads of the log leave no moment for the last step within `timeout`
        seconds, if the log is closed meanwhile, or is compacted already; CommandTimeout if the writer is busy
        for so long; StoreFull, DamagedStore; OpenedForReading, WrongThread. The log is as it was then.
        """
        with late_import("what compact() needs"):
            from actors.runtime.live_compaction import compact_log

        parts = self._running()
        checked_timeout(timeout, "compact")
        return compact_log(parts, self._runtime.compacting, timeout, progress)
