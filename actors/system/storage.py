"""The room that an open `System` takes. Callers' threads."""

from __future__ import annotations

from actors.runtime.store_info import StoreInfo, info_of_system
from actors.system.base import SystemBase

__all__ = ["StorageMethods"]


class StorageMethods(SystemBase):
    """What the store holds, and how full its files are."""

    def info(self, *, count_streams: bool = True) -> StoreInfo:
        """What the store holds, and the size and free pages of its files by database; any thread.

        It takes as long for a large store as for a small one, but for the number of streams: a million of
        them take a few seconds. With `count_streams=False` they are not counted. Raises DamagedStore.
        """
        return info_of_system(self._running(), count_streams=count_streams)
