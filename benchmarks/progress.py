"""Progress, for someone who watches."""

from __future__ import annotations

import sys


def show_progress(text: str) -> None:
    """Show the text on the terminal's last line, in place of the one before; no file gets it."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
