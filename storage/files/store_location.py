"""Where a store is: its file, its path and its machine, as far as they can be told. Any thread.

A store notes this at each opening for writing. From what it noted last and what is found now follows whether
it is the same store or a copy of it. docs/decisions/copies.md says why these signs were chosen.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, Self

from storage.files.birth_time import birth_time_ns
from storage.files.environment import DATA_FILE
from storage.files.stop_mark import current_boot_id

__all__ = ["DEPLOYMENT", "StoreLocation", "copied_because"]

DEPLOYMENT = "ONEWRITER_DEPLOYMENT"
"""The environment variable with the name of the deployment that a store belongs to, such as `production`."""

_MACHINE_ID = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_HARDWARE = (Path("/sys/class/dmi/id/product_uuid"),)
"""The virtual machine's, or the mainboard's; only root may read it."""
_INSTANCE = (Path("/var/lib/cloud/data/instance-id"),)
"""What cloud-init calls the machine: one that is started from a snapshot gets another."""


class StoreLocation(NamedTuple):
    """The signs; each is None or empty if it is not known. The ids of machines are digests, as they are
    confidential."""

    path: str
    inode: int
    born: int | None
    """The birth time of the data file, in nanoseconds since 1970."""
    file_system: int
    boot: str
    machine: str
    hardware: str
    instance: str
    deployment: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """That of the store in a directory. Raises OSError."""
        data = path / DATA_FILE
        return cls(
            os.path.realpath(path),
            data.stat().st_ino,
            birth_time_ns(data),
            os.statvfs(data).f_fsid,
            _digest(current_boot_id()),
            _digest_of(_MACHINE_ID),
            _digest_of(_HARDWARE),
            _digest_of(_INSTANCE),
            os.environ.get(DEPLOYMENT, ""),
        )

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """What `as_dict` gave. Raises TypeError, KeyError."""
        return cls(**{name: fields[name] for name in cls._fields})

    def as_dict(self) -> dict[str, Any]:
        """Its fields."""
        return self._asdict()

    def keeping(self, before: StoreLocation) -> StoreLocation:
        """This one, with what is not known now as it was before: another user may not read some ids."""
        return self._replace(
            born=before.born if self.born is None else self.born,
            machine=self.machine or before.machine,
            hardware=self.hardware or before.hardware,
            instance=self.instance or before.instance,
        )


def copied_because(before: StoreLocation, now: StoreLocation) -> str | None:
    """Why a store that noted `before` is a copy where it is `now`, as a sentence; None if it is the same.

    If its file was moved, it looks at the earlier path.
    """
    if before.deployment and before.deployment != now.deployment:
        here = f"this is {now.deployment}" if now.deployment else "here the variable is not set"
        return f"it belongs to deployment {before.deployment} ({DEPLOYMENT}), and {here}"
    if not _same_file(before, now):
        return (
            f"its {DATA_FILE} is another file than the one that the store had at {before.path}: it was "
            "copied, or restored from a backup"
        )
    if before.path != now.path and _is_still_there(before, now):
        return f"its original is still at {before.path}: this is a clone of the file system"
    if not before.deployment and _other_machine(before, now):
        return "it is on another machine than before, on the same file system: its disk was cloned or moved"
    return None


def _same_file(before: StoreLocation, now: StoreLocation) -> bool:
    if before.born is not None and now.born is not None:
        # Some network file systems number their files anew when they are mounted.
        if before.born != now.born or (before.inode != now.inode and before.path != now.path):
            return False
    elif before.inode != now.inode:
        return False
    return before.path == now.path or before.file_system == now.file_system


def _is_still_there(before: StoreLocation, now: StoreLocation) -> bool:
    """Whether the original is at the earlier path, beside this one: a rename leaves nothing there.

    Two paths to one file, as of a bind mount or a link, are one store.
    """
    original, here = (Path(one.path) / DATA_FILE for one in (before, now))
    with suppress(OSError):
        there = original.stat()
        return (
            there.st_ino == before.inode
            and birth_time_ns(original) == before.born
            and not os.path.samestat(there, here.stat())
        )
    return False


def _other_machine(before: StoreLocation, now: StoreLocation) -> bool:
    pairs = [(before.hardware, now.hardware), (before.instance, now.instance)]
    known = [pair for pair in pairs if all(pair)]
    if known:
        return any(one != other for one, other in known)
    # A container has the boot of its machine, and a new image may bring another machine id.
    if before.boot and before.boot == now.boot:
        return False
    return bool(before.machine and now.machine) and before.machine != now.machine


def _digest_of(files: tuple[Path, ...]) -> str:
    for file in files:
        with suppress(OSError):
            return _digest(file.read_text(errors="replace").strip())
    return ""


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=8, person=b"onewriter").hexdigest() if text else ""
