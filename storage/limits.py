"""The one limit on the names that a program gives. No thread runs this module."""

from __future__ import annotations

from typing import Final

__all__ = ["MAX_NAME_BYTES"]

MAX_NAME_BYTES: Final = 400
"""The longest name of a stream or a tag, the longest command id, and the longest key of a process manager's instance,
in bytes of UTF-8. LMDB's keys have 511, and what these stand beside in a key (a position, a manager's name) fits into the
rest."""
