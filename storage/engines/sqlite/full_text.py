"""Words that a person typed, as a full-text query that SQLite's FTS5 takes whatever they typed. Pure."""

from __future__ import annotations

import re

from storage.value_text import short_repr

__all__ = ["fts_match"]

_BLANK_OR_NUL = re.compile(r"[\s\0]+")


def fts_match(text: str, *, prefix: bool = False, any_word: bool = False) -> str:
    """An FTS5 query for the words of `text`: all of them in any order, or at least one with `any_word`.

    With `prefix` the last word may be the beginning of one, as while somebody types. Quotes, stars, colons, AND and
    the like are words or nothing, never syntax. A text without a word gives a query that finds nothing. Raises
    `TypeError` for what is no text.
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
