"""Turns words that a person typed into a full-text query for SQLite's FTS5, whatever was typed.

Pure; any thread.
"""

from __future__ import annotations

import re

from storage.value_text import short_repr

__all__ = ["fts_match"]

_BLANK_OR_NUL = re.compile(r"[\s\0]+")


def fts_match(text: str, *, prefix: bool = False, any_word: bool = False) -> str:
    """An FTS5 query for the words of `text`: all of them in any order, or at least one with `any_word`.

    With `prefix` the last word may be the beginning of a word, as while a person types. Quotes, stars,
    colons, AND and the like are words or are dropped; they are never syntax. A text without words gives a
    query that finds nothing. Raises `TypeError` unless it is a str.
    """
    if not isinstance(text, str):
        raise TypeError(f"fts_match() takes text, not {short_repr(text)}")
    text = text.encode(errors="replace").decode()  # SQLite takes no lone surrogates
    words = [word for word in _BLANK_OR_NUL.split(text) if any(map(str.isalnum, word))]
    quoted = ['"' + word.replace('"', '""') + '"' for word in words]
    if not quoted:
        return '""'
    if prefix:
        quoted[-1] += "*"
    return (" OR " if any_word else " AND ").join(quoted)
