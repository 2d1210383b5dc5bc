"""When closed stores have to be opened again since a timer is due: a small file for each, beside the stores.

A store whose process managers run has a file that says "now" as long as it is open. So stores that were open
when the process died are opened by the next one, and what their managers had begun continues. Any thread.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from actors.tenants.tenant_name import is_name
from storage.files.environment import make_directory
from storage.files.error_translation import from_system
from storage.files.opening_resources import Descriptor, sync_directory

__all__ = ["WAKE_UPS", "WakeUps"]

WAKE_UPS = ".wake-ups"
"""The folder of the files; no tenant can have its name."""

NOW = 0


class WakeUps:
    """The next due timer of each store, in microseconds since 1970 UTC."""

    def __init__(self, folder: Path) -> None:
        """Reads what an earlier process left. Raises `StorageError` if it can't be read."""
        self._folder = folder / WAKE_UPS
        self._lock = threading.Lock()
        self._due: dict[str, int] = {}
        self._put_off: dict[str, int] = {}
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise from_system(error, f"{self._folder} cannot be read", self._folder) from error
        for name in names:
            if is_name(name):
                self._due[name] = self._read(name)

    def _read(self, name: str) -> int:
        try:
            return int((self._folder / name).read_text())
        except (OSError, ValueError):
            return NOW  # in doubt it is looked at

    def note(self, name: str, due_us: int | None) -> None:
        """Note when a store is to be opened, None for never; on return it is on disk.

        Raises `StoreFull` or another `StorageError`.
        """
        with self._lock:
            self._put_off.pop(name, None)
            if self._due.get(name) == due_us:
                return
            try:
                if due_us is None:
                    (self._folder / name).unlink(missing_ok=True)
                    sync_directory(self._folder)
                    self._due.pop(name, None)
                else:
                    self._write(name, due_us)
                    self._due[name] = due_us
            except OSError as error:
                what = f"when {name} is to be opened cannot be noted"
                raise from_system(error, what, self._folder / name) from error

    def _write(self, name: str, due_us: int) -> None:
        make_directory(self._folder)
        new = self._folder / f".{name}.new"
        try:
            with Descriptor(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as number:
                os.write(number, str(due_us).encode())
                os.fsync(number)
            os.replace(new, self._folder / name)
        except BaseException:
            with suppress(OSError):
                new.unlink()
            raise
        sync_directory(self._folder)

    def put_off(self, name: str, until_us: int) -> None:
        """Leave a store that could not be opened alone until then; a later process knows nothing of it."""
        with self._lock:
            self._put_off[name] = until_us

    def due_at(self, name: str) -> int | None:
        """When a store is to be opened; None for never."""
        return self._due.get(name)

    def due(self, now_us: int) -> list[str]:
        """The stores that are to be opened now, the most urgent first."""
        with self._lock:
            found = [
                (due_us, name)
                for name, due_us in self._due.items()
                if due_us <= now_us and self._put_off.get(name, NOW) <= now_us
            ]
        return [name for _, name in sorted(found)]

    def next_after(self, now_us: int) -> int | None:
        """When the next store is to be opened that is not due now; None for never."""
        with self._lock:
            times = [max(due_us, self._put_off.get(name, NOW)) for name, due_us in self._due.items()]
        return min((one for one in times if one > now_us), default=None)

    def count(self, *, except_for: set[str]) -> int:
        """How many stores are to be opened at some time, but for these."""
        with self._lock:
            return len(self._due.keys() - except_for)
