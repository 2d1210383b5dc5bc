"""What is kept with a recorded operation: who did it, and why. Callers' threads."""

from __future__ import annotations

from typing import Any

from storage.value_text import short_repr

__all__ = ["checked_record"]


def checked_record(method: str, who: Any, why: Any) -> None:
    """Raise `ValueError` unless both are text that says something."""
    for name, text in (("who", who), ("why", why)):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{method}({name}=) is a text that is not empty, not {short_repr(text)}")
