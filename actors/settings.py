"""The settings of an open system, checked before anything is made. Callers' threads only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from os import PathLike
from typing import Any

from actors.timeouts import MOST_SECONDS
from storage.files.page_check import DEFAULT_VERIFY_BYTES
from storage.value_text import short_repr

__all__ = ["Settings"]

COUNTS = ("replicas", "query_actors", "mailbox_size", "map_size", "cache_states", "max_message_bytes")
SECONDS = ("decider_limit", "busy_limit", "lag_limit", "worker_limit", "view_max_age", "disk_limit")
COPY_SECONDS = ("copy_interval", "copy_full_every", "copy_limit")
MOST_THREADS = 1000
"""Of replicas, and of query actors of each: so many would be a slip, and their threads could not all be
started.
"""
WORKERS = ("thread", "process")
REPLICATION_INTERVAL = 0.003
"""Seconds. In so short a time nobody notices that replicas are behind, and rows and pages that change several
times in it are written once."""
MODES = ("write", "read")
LEAST_RETENTION = 60.0
"""Seconds for which the id of a command is known at least."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What `System.open` was given. Raises `ValueError` for what is no setting."""

    replicas: int
    query_actors: int
    mailbox_size: int
    map_size: int | None
    cache_states: int
    max_message_bytes: int
    decider_limit: float
    busy_limit: float
    lag_limit: float
    worker_limit: float
    view_max_age: float
    rebuild_share: float
    result_cache: int
    workers: str = "thread"
    verify_bytes: int = DEFAULT_VERIFY_BYTES
    mode: str = "write"
    managers: bool | None = None
    replicas_path: str | None = None
    accept: Collection[str] = ()
    replication_interval: float = REPLICATION_INTERVAL
    master_key: Any = None
    keys_path: str | None = None
    archives_path: str | None = None
    map_limit: float = 0.8
    disk_limit: float = 86_400.0
    max_lag_before_wait: int | None = None
    id_retention: float | None = None
    copy_to: str | None = None
    copy_interval: float = 1.0
    copy_full_every: float = 21_600.0
    copy_keep: int | None = 2
    copy_limit: float = 60.0

    def __post_init__(self) -> None:
        for name in COUNTS:
            value = getattr(self, name)
            if name == "map_size" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                unit = " byte" if name in ("map_size", "max_message_bytes") else ""
                raise ValueError(f"{name}= must be an int of at least 1{unit}, got {short_repr(value)}")
            if name in ("replicas", "query_actors") and value > MOST_THREADS:
                raise ValueError(
                    f"{name}= must be an int of at most {MOST_THREADS:,}, got {short_repr(value)}"
                )
        retention = self.id_retention
        if retention is not None and (
            isinstance(retention, bool)
            or not isinstance(retention, int | float)
            or not LEAST_RETENTION <= retention <= MOST_SECONDS
        ):
            raise ValueError(
                f"id_retention= must be a timedelta or seconds, at least {LEAST_RETENTION:g} s, since a "
                f"caller repeats a command by its id after a time-out, or None for ever; got "
                + short_repr(retention)
            )
        bound = self.max_lag_before_wait
        if bound is not None and (isinstance(bound, bool) or not isinstance(bound, int) or bound < 1):
            raise ValueError(
                "max_lag_before_wait= must be a number of positions from 1 on, or None for any, got "
                + short_repr(bound)
            )
        for name in ("result_cache", "verify_bytes"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"{name}= must be a number of bytes, 0 for none, got {short_repr(value)}")
        for name in (*SECONDS, *COPY_SECONDS):
            value = getattr(self, name)
            # Not a number compares as false.
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ValueError(f"{name}= must be a number of seconds above 0, got {short_repr(value)}")
            if isinstance(value, int) and value > MOST_SECONDS:
                raise ValueError(
                    f"{name}= is at most {MOST_SECONDS:,.0f} seconds, or math.inf, got {short_repr(value)}"
                )
        interval = self.replication_interval
        if isinstance(interval, bool) or not isinstance(interval, int | float) or not 0 <= interval <= 60:
            raise ValueError(
                "replication_interval= must be a number of seconds from 0 to 60, got " + short_repr(interval)
            )
        accept = self.accept
        if (
            isinstance(accept, str)
            or not isinstance(accept, Collection)
            or not all(isinstance(name, str) for name in accept)
        ):
            raise ValueError(
                f"accept= must be a list of names, such as those of the error, got {short_repr(accept)}"
            )
        object.__setattr__(self, "accept", tuple(accept))
        if not isinstance(self.workers, str) or self.workers not in WORKERS:
            raise ValueError(f"workers= must be 'thread' or 'process', got {short_repr(self.workers)}")
        self._check_mode()
        self._check_copy()
        if self.master_key is not None and not (
            callable(self.master_key) or isinstance(self.master_key, str | PathLike)
        ):
            raise ValueError(
                "master_key= is the path of a key file, or a callable that wraps and unwraps a key, got a "
                + type(self.master_key).__name__
            )
        for name in ("rebuild_share", "map_limit"):
            share = getattr(self, name)
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
                raise ValueError(f"{name}= must be a number above 0, and 1 at most, got {short_repr(share)}")

    def _check_mode(self) -> None:
        if not isinstance(self.mode, str) or self.mode not in MODES:
            raise ValueError(f"mode= must be 'write' or 'read', got {short_repr(self.mode)}")
        if self.managers not in (None, True, False):
            raise ValueError(f"managers= must be True, False or None, got {short_repr(self.managers)}")
        if self.mode == "read" and self.managers:
            raise ValueError(
                "managers=True needs mode='write': a system that is opened for reading runs no process "
                "managers"
            )
        if self.mode == "write" and self.replicas_path is not None:
            raise ValueError(
                "replicas_path= needs mode='read': a system that is opened for writing keeps its replicas in "
                "the store"
            )

    def _check_copy(self) -> None:
        keep = self.copy_keep
        if keep is not None and (isinstance(keep, bool) or not isinstance(keep, int) or keep < 1):
            raise ValueError(
                f"copy_keep= must be a number of full backups from 1 on, or None for all, got "
                f"{short_repr(keep)}"
            )
        if self.copy_to is None:
            return
        if not isinstance(self.copy_to, str) or not self.copy_to:
            raise ValueError(
                f"copy_to= must be a folder or an address such as s3://bucket/prefix, got "
                f"{short_repr(self.copy_to)}"
            )
        if self.mode == "read":
            raise ValueError("copy_to= needs mode='write': the program that writes a store copies it, too")

    @property
    def replica_names(self) -> list[str]:
        """The replicas' names, which are those of their actors and directories."""
        return [f"replica-{number}" for number in range(1, self.replicas + 1)]
