"""Checks of what a store is opened with, before anything is touched. The opener's thread."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from storage.files.error_translation import from_system
from storage.value_text import short_repr

__all__ = ["checked_map_size", "checked_path", "resolved_path"]


def checked_path(path: object) -> Path:
    """Return the path of a store. Raises TypeError for what is no path in text, ValueError for one that can't be."""
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        raise TypeError(f"path= must be a str or a path of str, got {short_repr(text)}")
    if not text:
        raise ValueError("path= must not be empty; '.' is the directory that the program runs in")
    if "\0" in text:
        raise ValueError(f"path= must not have a NUL in it, got {short_repr(text)}")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"path= has characters that no file name can have, got {short_repr(text)}"
        ) from error
    return Path(text)


def resolved_path(path: object) -> Path:
    """Return the path of a store as it is to be used from now on: absolute, and without symbolic links.

    What is opened so stays itself when the program changes its directory, and when a link above it is switched. Raises
    what `checked_path` does, StorageError where the program's own directory is gone.
    """
    checked = checked_path(path)
    try:
        return Path(os.path.realpath(checked))
    except OSError as error:
        what = f"{checked} cannot be resolved: the directory that the program runs in"
        raise from_system(error, what, checked, "change to another one, or give an absolute path") from error


def checked_map_size(map_size: object) -> int:
    """Return the size of a map. Raises TypeError for what is no int, ValueError for one that no map can have."""
    if isinstance(map_size, bool) or not isinstance(map_size, int):
        raise TypeError(f"map_size= must be an int, a number of bytes, got {short_repr(map_size)}")
    if not 1 <= map_size <= sys.maxsize:
        raise ValueError(f"map_size= must be from 1 to {sys.maxsize} bytes, got {short_repr(map_size)}")
    return map_size
