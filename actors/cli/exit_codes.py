"""The exit codes of the command line. No thread runs this module."""

from __future__ import annotations

__all__ = ["BAD_USE", "DONE", "FAILED", "INTERRUPTED"]

DONE, FAILED, BAD_USE, INTERRUPTED = 0, 1, 2, 130
