"""A store that appears at its path only when it is complete. The caller's thread.

It is filled in a folder beside the path, which has the path's name and an ending, and is renamed at the end.
What an earlier attempt left there is recognised, and removed or taken up.
"""

from __future__ import annotations

import os
import shutil

from storage.archive.archives import ARCHIVES_FOLDER
from storage.errors import NotAStore
from storage.files.arguments import resolved_path
from storage.files.environment import OWN_FILES
from storage.files.error_translation import from_system
from storage.files.opening_resources import sync_directory
from storage.files.store_lock import StoreLock, is_signed

__all__ = ["NewStore"]


class NewStore:
    """At `path`; `folder` is where it is filled until `publish`."""

    def __init__(self, path: str | os.PathLike[str], ending: str) -> None:
        """`ending` is that of the folder, such as ".importing".

        Raises NotAStore if there is something at `path` already, StorageError for an impossible path.
        """
        self.path = resolved_path(path)
        self.folder = self.path.with_name(self.path.name + ending)
        self._require_free()

    def _require_free(self) -> None:
        try:
            taken = os.path.lexists(self.path) and not (self.path.is_dir() and not os.listdir(self.path))
        except OSError as error:
            raise from_system(error, f"the path {self.path} cannot be used", self.path) from error
        if taken:
            raise NotAStore(f"{self.path} exists already; give the path of a new store")

    def has_leftover(self) -> bool:
        """Whether an earlier attempt left its folder behind.

        Raises NotAStore if something else is there, StoreLocked if that attempt is still running.
        """
        if not os.path.lexists(self.folder):
            return False
        if not self.folder.is_dir() or set(os.listdir(self.folder)) - OWN_FILES - {ARCHIVES_FOLDER}:
            raise NotAStore(
                f"{self.folder} is needed to fill the new store, but something else is there; move it away, "
                "or give another path for the new store"
            )
        if is_signed(self.folder):
            StoreLock(self.folder).release()
        return True

    def remove_leftover(self) -> None:
        """Remove the folder of an earlier attempt, if there is one. Raises as `has_leftover` does."""
        if self.has_leftover():
            self.discard()

    def discard(self) -> None:
        """Remove the folder; the store in it is closed."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def publish(self) -> None:
        """Give the store its path; on return that is on disk. The store is closed.

        Raises NotAStore if somebody has made something at the path meanwhile; the folder stays.
        """
        self._require_free()
        try:
            os.rename(self.folder, self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            raise from_system(error, f"{self.folder} cannot be renamed to {self.path}", self.path) from error
