"""Bytes and spans of time as people read them. Pure; any thread."""

from __future__ import annotations

__all__ = ["size_text", "span_text"]

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
SPANS = ((86_400.0, "day"), (3_600.0, "hour"), (60.0, "minute"), (1.0, "second"))


def size_text(number: float) -> str:
    """Such as "512 bytes", "4.0 KiB" or "1.0 TiB"."""
    value, at = float(number), 0
    while value >= 1023.95 and at < len(UNITS) - 1:
        value /= 1024
        at += 1
    return f"{value:.1f} {UNITS[at]}" if at else f"{value:.0f} bytes"


def span_text(seconds: float) -> str:
    """Such as "3 days" or "14 hours": in the largest unit of which there are two, or in seconds."""
    for unit, name in SPANS:
        if seconds >= 2 * unit or unit == 1.0:
            count = round(seconds / unit)
            return f"{count:,} {name}{'s' * (count != 1)}"
    raise AssertionError
