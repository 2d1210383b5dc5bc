"""Numbers of bytes as people read them. Pure; any thread."""

from __future__ import annotations

__all__ = ["size_text"]

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def size_text(number: int) -> str:
    """Such as "512 bytes", "4.0 KiB" or "1.0 TiB"."""
    value, at = float(number), 0
    while value >= 1023.95 and at < len(UNITS) - 1:
        value /= 1024
        at += 1
    return f"{value:.1f} {UNITS[at]}" if at else f"{number} bytes"
