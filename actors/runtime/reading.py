"""Opening a store that another process may be writing, without changing it. The opener's thread."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from actors.errors import OpenedForReading, ProcessManagersOff, UnadoptedCopy
from actors.settings import Settings
from storage.codec.codec import Codec
from storage.files.opening_resources import OpeningResources
from storage.log.log_follower import LogFollower
from storage.tables.schema import ModelSchema

__all__ = ["follow_log", "opened_for_reading", "process_managers_off", "reader_folder", "unadopted_copy"]


def follow_log(
    path: str, codec: Codec, settings: Settings, inline: Sequence[ModelSchema], resources: OpeningResources
) -> LogFollower:
    """The log of the store at `path`, with what is committed by now; `resources` closes it.

    Raises what `LogFollower.open` does.
    """
    opened = resources.slot(LogFollower.close)
    opened.resource = log = LogFollower.open(
        path,
        codec,
        map_size=settings.map_size,
        inline=inline,
        verify_bytes=settings.verify_bytes,
        archives_path=settings.archives_path,
    )
    log.advance(log.committed_head())
    return log


def reader_folder(path: str, settings: Settings, resources: OpeningResources) -> str:
    """The folder for the replicas of a reader of the store at `path`; `resources` removes a temporary one.

    Raises `ValueError` for a folder inside the store, and OSError.
    """
    if settings.replicas_path is None:
        made = resources.slot(partial(shutil.rmtree, ignore_errors=True))
        made.resource = folder = tempfile.mkdtemp(prefix="onewriter-reader-")
        return folder
    folder = os.path.abspath(settings.replicas_path)
    if Path(folder).resolve().is_relative_to(Path(path).resolve()):
        raise ValueError(
            f"replicas_path={folder} is inside the store {path}, which a reader does not change; name "
            "a folder elsewhere, or leave it out for a temporary one"
        )
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return folder


def opened_for_reading(path: str) -> OpenedForReading:
    """The error of a call that would write to the store, or act on the world."""
    return OpenedForReading(
        f'{path} was opened with mode="read", which executes no command, stores no progress and runs no '
        "process manager; open it for writing for that, with System.open(path, domain)"
    )


def process_managers_off(path: str) -> ProcessManagersOff:
    """The error of a call that needs a process manager to run."""
    return ProcessManagersOff(
        f"{path} was opened with managers=False, so no process manager runs, and what they have to do waits; "
        "open it with managers=True, or without managers="
    )


def unadopted_copy(path: str, reason: str) -> UnadoptedCopy:
    """The error of a call with which a copy would act on the world; `reason` is why it is one."""
    return UnadoptedCopy(
        f"{path} is a copy: {reason}; no process manager runs and no consumer delivers, so that nothing is "
        "done twice. If it now is a store of its own, open it with managers=True once, or run: "
        f"onewriter adopt {path}"
    )
