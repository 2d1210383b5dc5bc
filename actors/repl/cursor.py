"""Where the cursor is in a line that is being typed: in which call, at which argument. Pure; any thread."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["CallAtCursor", "call_at_cursor", "word_at_cursor"]

_WORD = re.compile(r"[^\s()\[\]{},=\"']*\Z")
_TOKENS = re.compile(
    r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|(?P<named>[^\W\d]\w*)\s*="
    r"|(?P<word>[^\s()\[\]{},=\"']+)|(?P<mark>[()\[\]{}])|(?P<quote>[\"'])"
)


@dataclass(slots=True)
class CallAtCursor:
    """The call that the cursor is in: its name, what it was given, and whether it is the statement itself."""

    name: str
    outermost: bool = False
    given: set[str] = field(default_factory=set)
    values: int = 0
    """How many values it was given without a name."""
    after_name: bool = False

    def add_value(self) -> None:
        """A value was given, to the name before it or by its position."""
        self.values += not self.after_name
        self.after_name = False


def word_at_cursor(text: str) -> str:
    """The word that is being typed, which ends `text`; it may be empty."""
    word = _WORD.search(text)
    return word[0] if word is not None else ""


def call_at_cursor(before: str) -> CallAtCursor | None:
    """The call that `before`, the text up to the word that is being typed, ends in.

    None inside a quote or a comment.
    """
    calls = [CallAtCursor("", outermost=True)]
    word, end = "", 0
    for token in _TOKENS.finditer(before):
        here = calls[-1]
        if token["quote"] or (token["word"] or "").startswith("#"):
            return None
        if token["named"]:
            here.given.add(token["named"])
            here.after_name = True
        elif token["mark"] and token["mark"] in "([{":
            called = token["mark"] == "(" and word != "" and token.start() == end
            if not called:
                here.add_value()
            calls.append(CallAtCursor(word if called else ""))
        elif token["mark"]:
            calls = calls[:-1] or calls
        elif here.outermost and not here.name:
            here.name = token[0]
        elif token[0].startswith("--"):
            here.after_name = before.startswith("=", token.end())
        else:
            here.add_value()
        word, end = token["word"] or "", token.end()
    return calls[-1]
