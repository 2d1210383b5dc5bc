"""Checks the arguments with which a store is opened, before anything is touched. The opener's thread."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from storage.files.error_translation import from_system
from storage.value_text import short_repr

__all__ = ["checked_map_size", "checked_path", "resolved_path"]


def checked_path(path: object) -> Path:
    """Return the path of a store. Raises TypeError unless it is text, ValueError if it cannot be a path."""
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
    """Return the absolute path of a store, without symbolic links; it is used from now on.

    It stays valid if the program changes its directory, or if a link above it is changed. Raises what
    `checked_path` raises, and StorageError if the program's own directory is gone.
    """
    checked = checked_path(path)
    try:
        return Path(os.path.realpath(checked))
    except OSError as error:
        what = f"{checked} cannot be resolved: the directory that the program runs in"
        raise from_system(error, what, checked, "change to another one, or give an absolute path") from error


def checked_map_size(map_size: object) -> int | None:
    """Return the size of a map, None for one that is chosen at opening.

    Raises TypeError unless it is an int, ValueError if no map can have it.
    """
    if map_size is None:
        return None
    if isinstance(map_size, bool) or not isinstance(map_size, int):
        raise TypeError(f"map_size= must be an int, a number of bytes, got {short_repr(map_size)}")
    if not 1 <= map_size <= sys.maxsize:
        raise ValueError(f"map_size= must be from 1 to {sys.maxsize} bytes, got {short_repr(map_size)}")
    return map_size
