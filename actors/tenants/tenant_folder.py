"""The stores in a folder of tenants, as files: which there are, and moving one away. Any thread."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from actors.errors import UnknownTenant
from actors.tenants.tenant_name import is_name
from storage.files.environment import DATA_FILE, make_directory
from storage.files.error_translation import from_system
from storage.files.opening_resources import sync_directory
from storage.files.store_lock import StoreLock

__all__ = ["DROPPED", "has_store", "move_away", "tenant_names"]

DROPPED = ".dropped"
"""The folder to which the stores of dropped tenants are moved; no tenant can have its name."""


def has_store(folder: Path, name: str) -> bool:
    """Whether a tenant has a store."""
    return (folder / name / DATA_FILE).exists()


def tenant_names(folder: Path) -> list[str]:
    """The tenants that have a store, in order. Raises `StorageError` if the folder can't be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(one.name for one in entries if is_name(one.name) and has_store(folder, one.name))
    except OSError as error:
        raise from_system(error, f"{folder} cannot be read", folder) from error


def move_away(folder: Path, name: str) -> str:
    """Move the store of a tenant below `.dropped`, and return its new path; on return that is on disk.

    Raises `UnknownTenant`, `StoreLocked` if anybody has it open for writing, or another `StorageError`.
    """
    if not has_store(folder, name):
        raise UnknownTenant(f"there is no store for tenant {name!r} in {folder}")
    source = folder / name
    lock = StoreLock(source)
    try:
        dropped = folder / DROPPED
        make_directory(dropped)
        target = _free(dropped, f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
        try:
            os.rename(source, target)
            sync_directory(dropped)
            sync_directory(folder)
        except OSError as error:
            raise from_system(error, f"{source} cannot be moved to {target}", source) from error
        return os.fspath(target)
    finally:
        lock.release()


def _free(folder: Path, name: str) -> Path:
    target, number = folder / name, 1
    while target.exists():
        number += 1
        target = folder / f"{name}-{number}"
    return target
