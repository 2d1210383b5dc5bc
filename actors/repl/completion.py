"""What can come next in a line that is being typed: names, fields, options and values. Pure but for `Live`.

`suggest` knows nothing of the terminal; `LineCompleter`, in `interactive`, hands it to prompt_toolkit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, get_args

from actors.repl.options import COMMAND_OPTIONS, QUERY_OPTIONS, WATCH_OPTIONS, Option
from actors.repl.registry import META
from actors.repl.vocabulary import Form, Vocabulary

__all__ = ["Live", "Suggestion", "suggest"]

MANAGERS = (
    ":processes",
    ":effects",
    ":retry_effect",
    ":drop_effect",
    ":retry_instance",
    ":skip_instance",
    ":skip_process",
)
"""Meta commands that begin with the name of a process manager."""
STREAMS = 30
"""How many streams are offered at once."""

_WORD = re.compile(r"[^\s()\[\]{},=\"']*\Z")
_OPTION = re.compile(r"--([\w-]+)=\Z")
_VALUE_OF = re.compile(r"([^\W\d]\w*)\s*=\s*\Z")
_TOKENS = re.compile(
    r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|(?P<named>[^\W\d]\w*)\s*=|(?P<word>[^\s()\[\]{},=\"']+)|(?P<mark>[()\[\]{}])"
    r"|(?P<quote>[\"'])"
)


class Live(Protocol):
    """What only the running system knows."""

    def actors(self) -> Iterable[str]: ...

    def streams(self, prefix: str, limit: int) -> Iterable[str]: ...

    def models(self) -> Iterable[str]: ...

    def consumers(self) -> Iterable[str]: ...

    def managers(self) -> Iterable[str]: ...


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A text for the word that is being typed, of which `typed` characters are there; `note` explains it."""

    text: str
    typed: int
    note: str = ""


@dataclass(slots=True)
class _Place:
    """The call that the cursor is in: its name, what it was given, and whether it is the statement itself."""

    name: str
    outermost: bool = False
    given: set[str] = field(default_factory=set)
    values: int = 0
    after_name: bool = False

    def value(self) -> None:
        """A value was given, to the name before it or by its place."""
        self.values += not self.after_name
        self.after_name = False


def suggest(before: str, vocabulary: Vocabulary, live: Live) -> list[Suggestion]:
    """What could stand at the end of `before`, the text up to the cursor."""
    word = _WORD.search(before)
    typed = word[0] if word is not None else ""
    place = _place(before[: len(before) - len(typed)])
    if place is None:
        return []
    found = _offers(before[: len(before) - len(typed)], typed, place, vocabulary, live)
    folded = typed.casefold()
    return [Suggestion(text, len(typed), note) for text, note in found if text.casefold().startswith(folded)]


def _place(before: str) -> _Place | None:
    """Where the cursor is; None inside a quote or a comment."""
    calls = [_Place("", outermost=True)]
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
                here.value()
            calls.append(_Place(word if called else ""))
        elif token["mark"]:
            calls = calls[:-1] or calls
        elif here.outermost and not here.name:
            here.name = token[0]
        elif token[0].startswith("--"):
            here.after_name = before.startswith("=", token.end())
        else:
            here.value()
        word, end = token["word"] or "", token.end()
    return calls[-1]


def _offers(
    before: str, typed: str, place: _Place, vocabulary: Vocabulary, live: Live
) -> Iterator[tuple[str, str]]:
    if place.outermost and not place.name:
        yield from (
            (name, form.doc) for name, form in (*vocabulary.commands.items(), *vocabulary.queries.items())
        )
        yield from ((name, one.text) for name, one in META.items())
        return
    if place.outermost and place.name.startswith(":") and place.name != ":watch":
        yield from _about(before, place, typed, vocabulary, live)
        return
    named = _VALUE_OF.search(before)
    form, watched = vocabulary.forms.get(place.name), None
    if place.outermost and place.name == ":watch":
        watched = next(
            (name for name in re.findall(r"\w[\w.\-]*", before) if name in vocabulary.queries), None
        )
        if watched is None:
            yield from ((name, one.doc) for name, one in vocabulary.queries.items())
            return
        form = vocabulary.queries[watched]
    if named is not None:
        wanted = form.field(named[1]) if form is not None else None
        yield from _values(wanted.hint if wanted is not None else Any, vocabulary)
        return
    if form is None:
        yield from _nested(vocabulary)
        return
    yield from (
        (f"{one.name}=", _note(one.type, one.default))
        for one in form.fields[max(place.values - (watched is not None), 0) :]
        if one.name not in place.given
    )
    if place.outermost:
        yield from _options(WATCH_OPTIONS if watched else _options_of(form), before)


def _about(
    before: str, place: _Place, typed: str, vocabulary: Vocabulary, live: Live
) -> Iterator[tuple[str, str]]:
    """The argument of a meta command, or an option of it."""
    option = _OPTION.search(before)
    if option is not None:
        if option[1] == "type":
            yield from ((name, form.doc) for name, form in vocabulary.forms.items() if form.kind == "event")
        elif option[1] == "stream":
            yield from ((name, "stream") for name in live.streams(typed, STREAMS))
        return
    if not place.values:
        yield from _first(place.name, typed, vocabulary, live)
    elif place.name == ":replay" and place.values == 1:
        yield from ((name, "stream") for name in live.streams(typed, STREAMS))
    if place.name in META:
        yield from _options(META[place.name].options, before)


def _first(name: str, typed: str, vocabulary: Vocabulary, live: Live) -> Iterator[tuple[str, str]]:
    """The first argument of a meta command."""
    if name == ":kill":
        yield from ((name, "actor") for name in live.actors())
    elif name == ":stream":
        yield from ((name, "stream") for name in live.streams(typed, STREAMS))
    elif name in (":rebuild", ":skip"):
        yield from ((name, "read model") for name in live.models())
    elif name in (":parked", ":replay"):
        yield from ((name, "consumer") for name in live.consumers())
    elif name in MANAGERS:
        yield from ((name, "process manager") for name in live.managers())
    elif name == ":help":
        yield from ((name, form.kind) for name, form in vocabulary.forms.items())
        yield from ((name, one.text) for name, one in META.items())


def _values(hint: Any, vocabulary: Vocabulary) -> Iterator[tuple[str, str]]:
    """Values that can be listed: of an Enum, a bool, a Literal; the beginning of a nested message."""
    for one in (hint, *get_args(hint)):
        if one is bool:
            yield from (("true", ""), ("false", ""))
        elif one is type(None):
            yield "none", ""
        elif isinstance(one, type) and issubclass(one, Enum):
            yield from ((name, one.__name__) for name in one.__members__)
        elif isinstance(one, str):
            yield one, ""
        elif isinstance(one, type) and one in vocabulary.names:
            name = vocabulary.names[one]
            yield f"{name}(", vocabulary.forms[name].signature()


def _nested(vocabulary: Vocabulary) -> Iterator[tuple[str, str]]:
    for name, form in vocabulary.forms.items():
        if form.kind == "value" and form.fields:
            yield f"{name}(", form.signature()


def _options_of(form: Form) -> dict[str, Option]:
    return {"command": COMMAND_OPTIONS, "query": QUERY_OPTIONS}.get(form.kind, {})


def _options(options: Mapping[str, Option], before: str) -> Iterator[tuple[str, str]]:
    for name, option in options.items():
        if not re.search(rf"--{name}(?![\w-])", before):
            yield (f"--{name}" if option.hint is bool else f"--{name}="), option.text


def _note(kind: str, default: str | None) -> str:
    return kind if default is None else f"{kind}, else {default}"
