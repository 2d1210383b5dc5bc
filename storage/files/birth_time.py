"""When a file was made, by what no program can set: a copy has another one. Any thread."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

__all__ = ["birth_time_ns"]

_AT_FDCWD = -100
_BIRTH_TIME = 0x800
"""`STATX_BTIME`, in what is asked for and in what is answered."""
_ANSWER_BYTES = 256
_MASK = struct.Struct("=I")
_TIME_AT, _TIME = 80, struct.Struct("=qI")
"""Where `struct statx` has the birth time: seconds, and nanoseconds."""


def birth_time_ns(path: Path) -> int | None:
    """Nanoseconds since 1970; None if the system or the file system does not know it, or there is no file.

    `cp`, `rsync` and archives don't keep it; renaming, changing the owner and rebooting do.
    """
    try:
        # macOS and the BSDs have it; Python does not ask for it on Linux.
        return int(os.stat(path).st_birthtime * 1e9)  # type: ignore[attr-defined]
    except OSError:
        return None
    except AttributeError:
        return _from_statx(path)


def _from_statx(path: Path) -> int | None:
    try:
        statx = ctypes.CDLL(None).statx
    except (AttributeError, OSError):  # a C library from before 2018
        return None
    answer = ctypes.create_string_buffer(_ANSWER_BYTES)
    if statx(_AT_FDCWD, os.fsencode(path), 0, _BIRTH_TIME, answer) != 0:
        return None
    if not _MASK.unpack_from(answer)[0] & _BIRTH_TIME:
        return None
    seconds, nanoseconds = _TIME.unpack_from(answer, _TIME_AT)
    return int(seconds * 10**9 + nanoseconds)
