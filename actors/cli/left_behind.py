"""What the commands say of the records of corrections that they leave behind. Pure; any thread."""

from __future__ import annotations

__all__ = ["corrections_left_behind"]


def corrections_left_behind(count: int) -> str:
    """A sentence for so many corrections of the original."""
    which = "the record of 1 correction" if count == 1 else f"the records of {count:,} corrections"
    return (
        f"left behind: {which}, with what those events were before; `onewriter corrections` lists "
        f"{'it' if count == 1 else 'them'} in the original"
    )
