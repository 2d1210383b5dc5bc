"""Progress, for someone who watches."""

from __future__ import annotations

import sys


def tell(text: str) -> None:
    """Show the text on the terminal's last line, in place of the one before; nothing of it goes into a file."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
