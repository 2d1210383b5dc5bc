"""The limit on the names that a program gives. A constant; any thread."""

from __future__ import annotations

from typing import Final

__all__ = ["MAX_NAME_BYTES"]

MAX_NAME_BYTES: Final = 400
"""The most bytes of UTF-8 in a stream's or a tag's name, a command id, or a process manager instance's key.

LMDB's keys have at most 511 bytes. The rest is for what a key holds besides (a position, a manager's name).
"""
