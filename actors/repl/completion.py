"""What can come next in a line that is being typed: names, fields, options and values. Any thread.

Knows nothing of the terminal; `LineCompleter`, in `interactive`, hands it to prompt_toolkit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar, get_args

from actors.repl.cursor import CallAtCursor, call_at_cursor, word_at_cursor
from actors.repl.meta_command import Completion, MetaCommand
from actors.repl.options import MESSAGE_OPTIONS, WATCH_OPTIONS, Option
from actors.repl.vocabulary import Form, Vocabulary

__all__ = ["RunningNames", "Suggester", "Suggestion"]

STREAMS = 30
"""How many streams are offered at once."""

_OPTION = re.compile(r"--([\w-]+)=\Z")
_VALUE_OF = re.compile(r"([^\W\d]\w*)\s*=\s*\Z")

S = TypeVar("S")
Offers = Iterator[tuple[str, str]]
"""Texts, each with a note that explains it."""


class RunningNames(Protocol):
    """The names that only the running system knows."""

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


class Suggester(Generic[S]):
    """Suggests what fits at the cursor, of a domain's vocabulary, the meta commands and what runs."""

    def __init__(
        self, vocabulary: Vocabulary, meta_commands: Mapping[str, MetaCommand[S]], names: RunningNames
    ) -> None:
        self._vocabulary = vocabulary
        self._meta_commands = meta_commands
        self._names = names

    def suggest(self, text: str) -> list[Suggestion]:
        """What could stand at the end of `text`, the line up to the cursor."""
        typed = word_at_cursor(text)
        before = text[: len(text) - len(typed)]
        call = call_at_cursor(before)
        if call is None:
            return []
        folded = typed.casefold()
        return [
            Suggestion(offer, len(typed), note)
            for offer, note in self._offers(before, typed, call)
            if offer.casefold().startswith(folded)
        ]

    def _offers(self, before: str, typed: str, call: CallAtCursor) -> Offers:
        if call.outermost and not call.name:
            yield from self._first_words()
        elif call.outermost and call.name == ":watch":
            yield from self._watch(before, call)
        elif call.outermost and call.name.startswith(":"):
            yield from self._meta_command(before, typed, call)
        else:
            form = self._vocabulary.forms.get(call.name)
            yield from self._message(before, call, form, call.values)
            if form is not None and call.outermost and _VALUE_OF.search(before) is None:
                yield from _options(MESSAGE_OPTIONS.get(form.kind, {}), before)

    def _first_words(self) -> Offers:
        for name, form in (*self._vocabulary.commands.items(), *self._vocabulary.queries.items()):
            yield name, form.doc
        yield from self._meta_command_names()

    def _meta_command_names(self) -> Offers:
        return ((name, one.text) for name, one in self._meta_commands.items())

    # -- messages ----------------------------------------------------------------------------
    def _message(self, before: str, call: CallAtCursor, form: Form | None, values: int) -> Offers:
        """The fields of a message that are still to be given, or the value of the one just named."""
        named = _VALUE_OF.search(before)
        if named is not None:
            wanted = form.field(named[1]) if form is not None else None
            yield from self._values(wanted.hint if wanted is not None else Any)
        elif form is None:
            for name, one in self._vocabulary.forms.items():
                if one.kind == "value" and one.fields:
                    yield f"{name}(", one.signature()
        else:
            for field in form.fields[values:]:
                if field.name not in call.given:
                    yield f"{field.name}=", _note(field.type, field.default)

    def _values(self, hint: Any) -> Offers:
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
            elif isinstance(one, type) and one in self._vocabulary.names:
                name = self._vocabulary.names[one]
                yield f"{name}(", self._vocabulary.forms[name].signature()

    # -- meta commands -----------------------------------------------------------------------
    def _watch(self, before: str, call: CallAtCursor) -> Offers:
        """A query, and then its fields beside the options of `:watch`."""
        queries = self._vocabulary.queries
        watched = next((name for name in re.findall(r"\w[\w.\-]*", before) if name in queries), None)
        if watched is None:
            yield from ((name, one.doc) for name, one in queries.items())
            return
        # The first value is the query's name.
        yield from self._message(before, call, queries[watched], max(call.values - 1, 0))
        if _VALUE_OF.search(before) is None:
            yield from _options(WATCH_OPTIONS, before)

    def _meta_command(self, before: str, typed: str, call: CallAtCursor) -> Offers:
        """The argument of a meta command, or an option of it."""
        option = _OPTION.search(before)
        if option is not None:
            if option[1] == "type":
                forms = self._vocabulary.forms.items()
                yield from ((name, form.doc) for name, form in forms if form.kind == "event")
            elif option[1] == "stream":
                yield from self._named("stream", typed)
            return
        command = self._meta_commands.get(call.name)
        if command is None:
            return
        if call.values < len(command.completes):
            yield from self._named(command.completes[call.values], typed)
        yield from _options(command.options, before)

    def _named(self, kind: Completion, typed: str) -> Offers:
        match kind:
            case "name":
                yield from ((name, form.kind) for name, form in self._vocabulary.forms.items())
                yield from self._meta_command_names()
            case "stream":
                yield from ((name, kind) for name in self._names.streams(typed, STREAMS))
            case "actor":
                yield from ((name, kind) for name in self._names.actors())
            case "read model":
                yield from ((name, kind) for name in self._names.models())
            case "consumer":
                yield from ((name, kind) for name in self._names.consumers())
            case "process manager":
                yield from ((name, kind) for name in self._names.managers())


def _options(options: Mapping[str, Option], before: str) -> Offers:
    for name, option in options.items():
        if not re.search(rf"--{name}(?![\w-])", before):
            yield (f"--{name}" if option.hint is bool else f"--{name}="), option.text


def _note(kind: str, default: str | None) -> str:
    return kind if default is None else f"{kind}, else {default}"
