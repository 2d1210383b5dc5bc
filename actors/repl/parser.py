"""The session's language: one line of text to a `CallNode`, parsed and never evaluated. Pure; any thread.

    ListProduct sku=lamp name="Desk lamp" price=1999 --expected-version=0
    PlaceOrder(order_id=o1, customer=ann, lines=[OrderLine(lamp, 2)], placed_at=2024-05-01T10:00)
    :log 10 5        # a comment

Values keep the form in which they were written; what they mean depends on the field, and `value_conversion`
finds it. Only `ParseError` is raised, whatever the text. A recursive descent over characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from actors.cli.errors import Incomplete, ParseError, short
from actors.repl.ast import CallNode, DictNode, ListNode, Node, TextNode, WordNode

__all__ = ["parse"]

NESTING = 50
"""How deep brackets may stand in each other."""

_NAME = re.compile(r"[^\W\d][\w.\-]*")
_META = re.compile(r":[a-z]+(?:_[a-z]+)*")
_NAMED = re.compile(r"([^\W\d]\w*)\s*=")
_OPTION = re.compile(r"--([a-z][a-z\-]*)")
_ENDS_WORD = frozenset("()[]{},=\"'")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\\": "\\", '"': '"', "'": "'"}
_CODES = {"x": 2, "u": 4, "U": 8}


def parse(text: str) -> CallNode | None:
    """The statement in `text`, or None when it holds none but a comment at most.

    Raises `Incomplete` when brackets are open at its end, else `ParseError`.
    """
    return _Parser(text).statement()


class _Arguments:
    """What a call holds, while it is being read."""

    def __init__(self) -> None:
        self.positional: list[Node] = []
        self.named: dict[str, Node] = {}
        self.options: dict[str, Node | None] = {}

    def of(self, name: str) -> CallNode:
        return CallNode(name, tuple(self.positional), self.named, self.options)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._open: list[int] = []

    # -- statements --------------------------------------------------------------------------
    def statement(self) -> CallNode | None:
        self._space()
        if not self._peek():
            return None
        meta = self._match(_META)
        name = meta or self._match(_NAME)
        if not name:
            raise self._error("a statement begins with the name of a command or query, or with :help")
        arguments = _Arguments()
        bracketed = not meta and self._peek() == "("
        if bracketed:
            self._bracket(arguments)
        elif self._peek() and not self._peek().isspace():
            raise self._error(f"{self._peek()!r} can't follow the name {short(name)}")
        while not self._ends(""):
            if self._text.startswith("--", self._at):
                self._option(arguments)
            elif bracketed:
                raise self._error("only options such as --id=... can follow the closing bracket")
            else:
                self._argument(arguments)
            self._separator("")
        return arguments.of(name)

    def _bracket(self, arguments: _Arguments) -> None:
        self._enter()
        while not self._ends(")"):
            self._argument(arguments)
            self._separator(")")
        self._leave()

    def _argument(self, arguments: _Arguments) -> None:
        found = _NAMED.match(self._text, self._at)
        if found is None:
            if arguments.named:
                raise self._error("a value without a name can't follow one with a name")
            arguments.positional.append(self._value())
            return
        name = found[1]
        if name in arguments.named:
            raise self._error(f"{short(name)} is given twice")
        self._at = found.end()
        arguments.named[name] = self._value(f"{short(name)}=")

    def _option(self, arguments: _Arguments) -> None:
        found = _OPTION.match(self._text, self._at)
        if found is None:
            raise self._error("an option is written --name or --name=value; quote a text that begins with --")
        if found[1] in arguments.options:
            raise self._error(f"--{short(found[1])} is given twice")
        self._at = found.end()
        value = None
        if self._peek() == "=":
            self._at += 1
            if not self._peek() or self._peek().isspace():
                raise self._error(f"a value is missing after --{short(found[1])}=")
            value = self._value()
        arguments.options[found[1]] = value

    # -- values ------------------------------------------------------------------------------
    def _value(self, after: str = "", stop: str = "") -> Node:
        self._space()
        first = self._peek()
        if first in ('"', "'"):
            return TextNode(self._quoted(first))
        if first == "[":
            return ListNode(tuple(self._items("]")), "[")
        if first == "(":
            return ListNode(tuple(self._items(")")), "(")
        if first == "{":
            return DictNode(tuple(self._pairs()))
        word = self._word(stop)
        if not word:
            raise self._error(f"a value is missing after {after}" if after else self._unexpected())
        if self._peek() != "(":
            return WordNode(word)
        if not _NAME.fullmatch(word):
            raise self._error(
                f"{short(word)} is no name, so no bracket can follow it; put text with brackets in quotes"
            )
        arguments = _Arguments()
        self._bracket(arguments)
        return arguments.of(word)

    def _items(self, closer: str) -> Iterator[Node]:
        self._enter()
        while not self._ends(closer):
            yield self._value()
            self._separator(closer)
        self._leave()

    def _pairs(self) -> Iterator[tuple[Node, Node]]:
        self._enter()
        while not self._ends("}"):
            # A colon ends a bare key, but not a bare value: 10:30 and urls hold colons.
            key = self._value(stop=":")
            self._space()
            if self._peek() != ":":
                if not self._peek():
                    raise self._unclosed()
                raise self._error("inside { } write key: value")
            self._at += 1
            yield key, self._value(":")
            self._separator("}")
        self._leave()

    def _word(self, stop: str) -> str:
        start = self._at
        while (char := self._peek()) and char not in _ENDS_WORD and char != stop and not char.isspace():
            self._at += 1
        return self._text[start : self._at]

    def _quoted(self, quote: str) -> str:
        start = self._at
        self._at += 1
        parts: list[str] = []
        while (char := self._peek()) != quote:
            if not char or char == "\n":
                self._at = start
                raise self._error("this quote is not closed on its line; write \\n for a line's end")
            self._at += 1
            parts.append(self._escape() if char == "\\" else char)
        self._at += 1
        return "".join(parts)

    def _escape(self) -> str:
        char = self._peek()
        if char in _CODES:
            digits = self._text[self._at + 1 : self._at + 1 + _CODES[char]]
            if re.fullmatch(f"[0-9a-fA-F]{{{_CODES[char]}}}", digits) and int(digits, 16) <= 0x10FFFF:
                self._at += 1 + len(digits)
                return chr(int(digits, 16))
        elif char in _ESCAPES:
            self._at += 1
            return _ESCAPES[char]
        self._at -= 1
        raise self._error(
            f"\\{char} is no escape; there are \\n \\t \\r \\0 \\\\ \\\" \\' \\xHH \\uHHHH \\UHHHHHHHH"
        )

    # -- characters --------------------------------------------------------------------------
    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]

    def _space(self) -> None:
        """Skip white space and comments; line ends only inside brackets."""
        while char := self._peek():
            if char == "#" and (self._at == 0 or self._text[self._at - 1].isspace()):
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif char.isspace() and (char != "\n" or self._open):
                self._at += 1
            else:
                return

    def _ends(self, closer: str) -> bool:
        """Whether the arguments end here; steps over a closing bracket."""
        self._space()
        if not closer:
            if self._peek() == "\n":
                if self._text[self._at :].strip():
                    raise self._error("one statement a line; only open brackets let it go on in the next")
                self._at = len(self._text)
            return not self._peek()
        if not self._peek():
            raise self._unclosed()
        if self._peek() == closer:
            self._at += 1
            return True
        return False

    def _separator(self, closer: str) -> None:
        """A comma or white space after a value, unless the end follows at once."""
        before = self._at
        self._space()
        if self._peek() == ",":
            self._at += 1
        elif self._at == before and self._peek() and self._peek() != closer and self._peek() != "\n":
            raise self._error(self._unexpected())

    def _enter(self) -> None:
        if len(self._open) >= NESTING:
            raise self._error(f"brackets stand more than {NESTING} deep in each other")
        self._open.append(self._at)
        self._at += 1

    def _leave(self) -> None:
        self._open.pop()

    # -- errors ------------------------------------------------------------------------------
    def _unexpected(self) -> str:
        char = self._peek()
        if not char:
            return "a value is missing"
        return f"{char!r} is not expected here; put text with brackets, commas, quotes or = in quotes"

    def _unclosed(self) -> ParseError:
        return Incomplete(f"{self._text[self._open[-1]]!r} is not closed", *self._location(self._open[-1]))

    def _error(self, text: str) -> ParseError:
        if not self._peek() and self._open:
            return self._unclosed()
        return ParseError(text, *self._location(self._at))

    def _location(self, at: int) -> tuple[int, int]:
        before = self._text[:at]
        return before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1
