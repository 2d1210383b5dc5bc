"""Whether the maps of the files, or their disks, will soon be full. The supervisor's thread looks; any thread
asks."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from actors.replication.replica_status import SnapshotSource
from actors.runtime.room_forecast import Alarm, GrowthRate, Urgency
from storage import StorageError
from storage.files.amounts import size_text, span_text
from storage.files.disk_space import DiskSpace
from storage.files.environment import DATA_FILE
from storage.files.page_usage import FileUsage

__all__ = ["RoomWatch"]

logger = logging.getLogger("onewriter.upkeep")

LOOK_EVERY = 10.0
"""Seconds between two looks."""
LATELY, LEAST, SAMPLE_EVERY = 6 * 3600.0, 60.0, 60.0
"""Seconds over which growth is measured, that it takes at least, and between samples."""
FULL_MAP = 0.95
"""The share of a map from which on it is a problem, and no longer a warning."""
FULL_DISK = 24.0
"""How much nearer than `disk_limit` a full disk is a problem: an hour, where that is a day."""
SCARCE = {Urgency.SOON: (256 << 20, 0.02), Urgency.URGENT: (64 << 20, 0.005)}
"""A disk that has less free than these bytes, and than this share of it, is nearly full at any pace."""
MAP_MARGIN, DISK_MARGIN = 0.02, 0.3


class _Found(NamedTuple):
    urgency: Urgency
    text: str


class RoomWatch:
    """Of one running system."""

    def __init__(
        self,
        path: Path,
        log_usage: Callable[[], FileUsage] | None,
        stores: Mapping[str, SnapshotSource],
        map_limit: float,
        disk_limit: float,
    ) -> None:
        """`log_usage` is None where another process writes the log in `path`, and looks after its room.

        `map_limit` is the share of a map, `disk_limit` are the seconds until a disk is full, that are
        reported.
        """
        self._path = path
        self._log_usage = log_usage
        self._stores = stores
        self._map_limit = map_limit
        self._disk_limit = disk_limit
        self._maps: dict[str, tuple[int, Alarm]] = {}
        self._disks: dict[int, tuple[GrowthRate, Alarm]] = {}
        self._found: dict[str, _Found] = {}
        self._looked = -LOOK_EVERY

    def look(self, now: float) -> None:
        """Look, if the last look was long enough ago; `now` are seconds of a clock that is never set back."""
        if now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        before = self._found
        self._found = found = dict(self._look(now))
        for name, one in found.items():
            if name not in before or one.urgency > before[name].urgency:
                logger.warning("%s", one.text)

    def problems(self) -> Iterator[str]:
        """What is about to be full, as sentences for health."""
        return (one.text for one in self._found.values() if one.urgency is Urgency.URGENT)

    def warnings(self) -> Iterator[str]:
        """What will be full before long, as sentences for health."""
        return (one.text for one in self._found.values() if one.urgency is Urgency.SOON)

    # -- the supervisor's thread -------------------------------------------------------------
    def _look(self, now: float) -> Iterator[tuple[str, _Found]]:
        files: list[tuple[str, Path, Callable[[], FileUsage]]] = []
        if self._log_usage is not None:
            files.append(("the log", self._path, self._log_usage))
        files += [(name, store.path, store.usage) for name, store in list(self._stores.items())]
        disks: dict[int, tuple[Path, int]] = {}
        for name, path, usage in files:
            try:
                state = os.stat(path / DATA_FILE)
                found = self._look_at_map(name, path, state.st_size, usage)
            except (OSError, StorageError):
                continue  # it is being reset, or gone, which is reported as that
            if found is not None:
                yield name, found
            _, size = disks.get(state.st_dev, (path, 0))
            disks.setdefault(state.st_dev, (path, 0))
            disks[state.st_dev] = disks[state.st_dev][0], size + state.st_blocks * 512
        for device, (path, size) in disks.items():
            try:
                found = self._look_at_disk(device, path, size, DiskSpace.at(path), now)
            except StorageError:
                continue
            if found is not None:
                yield f"disk {device}", found

    def _look_at_map(self, name: str, path: Path, size: int, usage: Callable[[], FileUsage]) -> _Found | None:
        if name not in self._maps:
            self._maps[name] = (
                usage().map_bytes,
                Alarm(self._map_limit, max(FULL_MAP, self._map_limit), MAP_MARGIN),
            )
        map_bytes, alarm = self._maps[name]
        if size < map_bytes * self._map_limit * (1 - MAP_MARGIN):
            alarm.update(0.0)
            return None
        full = usage()  # free pages within the file are room, too
        self._maps[name] = full.map_bytes, alarm
        share = full.used_bytes / full.map_bytes
        urgency = alarm.update(share)
        if not urgency:
            return None
        return _Found(
            urgency,
            f"{name} in {path} has used {100 * share:.0f} % of its map: {size_text(full.used_bytes)} of "
            f"{size_text(full.map_bytes)}; when it is full, nothing more can be written: open the store with "
            "a larger map_size=",
        )

    def _look_at_disk(
        self, device: int, path: Path, size: int, space: DiskSpace, now: float
    ) -> _Found | None:
        if device not in self._disks:
            self._disks[device] = GrowthRate(LATELY, LEAST, SAMPLE_EVERY), Alarm(1.0, FULL_DISK, DISK_MARGIN)
        growth, alarm = self._disks[device]
        growth.add(now, size)
        rate = growth.per_second()
        left = space.free / rate if rate else None
        nearness = 0.0 if left is None else self._disk_limit / max(left, 1e-9)
        for urgency, limit in ((Urgency.SOON, 1.0), (Urgency.URGENT, FULL_DISK)):
            most, share = SCARCE[urgency]
            scarcity = min(most, share * space.total) / max(space.free, 1)
            if scarcity >= 1 - DISK_MARGIN:
                nearness = max(nearness, limit * min(scarcity, 1.0))
        urgency = alarm.update(nearness)
        if not urgency:
            return None
        pace = ""
        if left is not None and rate is not None:
            pace = (
                f"; the files of the store grew by {size_text(rate * 3600)} an hour lately, which fills it "
                f"in {span_text(left)}"
            )
        return _Found(
            urgency,
            f"the disk of {path} has {size_text(space.free)} of {size_text(space.total)} free{pace}: make "
            "room there, or move the store; `onewriter info` says how much is free inside its files",
        )
