"""What may follow a statement as `--name=value`. Pure; any thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from actors.cli.errors import UsageError, short
from actors.repl.ast import CallNode
from actors.repl.value_conversion import Converter
from actors.repl.vocabulary import did_you_mean

__all__ = [
    "COMMAND_OPTIONS",
    "FILTER_OPTIONS",
    "FOLLOW_OPTIONS",
    "MESSAGE_OPTIONS",
    "QUERY_OPTIONS",
    "REBUILD_OPTIONS",
    "WATCH_OPTIONS",
    "Option",
    "read_options",
]


@dataclass(frozen=True, slots=True)
class Option:
    """An option; one of type bool is a flag, and takes no value."""

    hint: Any
    text: str


COMMAND_OPTIONS = {
    "expected-version": Option(int, "the version that the command's stream has to have, 0 for a new one"),
    "id": Option(str, "the command's id; the same again returns the first receipt"),
}
QUERY_OPTIONS = {
    "strong": Option(bool, "see everything committed so far, also by others"),
    "after": Option(int, "see at least this position"),
    "max-lag": Option(
        int | float | timedelta, "be behind by no more: positions (5) or time (0.5, 200ms is 0.2s)"
    ),
    "eventual": Option(
        bool, "take any replica, also one that is being filled or lacks this session's writes"
    ),
}
WATCH_OPTIONS = {
    "count": Option(int, "end after so many answers"),
    "seconds": Option(float, "end after so many seconds"),
    "background": Option(bool, "go on while other lines are typed; :unwatch ends it"),
}
FILTER_OPTIONS = {
    "stream": Option(str, "only of this stream"),
    "category": Option(str, "only of streams that begin so, up to the first hyphen"),
    "type": Option(str, "only events of this name"),
    "tag": Option(str, "only with this tag"),
}
FOLLOW_OPTIONS = {
    **FILTER_OPTIONS,
    "count": Option(int, "end after so many events"),
    "seconds": Option(float, "end after so many seconds"),
    "background": Option(bool, "go on while other lines are typed; :unwatch ends it"),
}
MESSAGE_OPTIONS: Mapping[str, Mapping[str, Option]] = {"command": COMMAND_OPTIONS, "query": QUERY_OPTIONS}
"""The options of a message, by its kind."""
REBUILD_OPTIONS = {"background": Option(bool, "do not wait for it")}


def read_options(call: CallNode, known: Mapping[str, Option], converter: Converter) -> dict[str, Any]:
    """The options given, as values. Raises `UsageError` for an unknown one or a wrong value."""
    made: dict[str, Any] = {}
    for name, value in call.options.items():
        option = known.get(name)
        if option is None:
            there = f"there are {', '.join(f'--{one}' for one in known)}" if known else "it takes none"
            raise UsageError(f"{call.name} has no option --{short(name)}{did_you_mean(name, known)}; {there}")
        if option.hint is bool and value is None:
            made[name] = True
        elif value is None:
            raise UsageError(f"--{name} needs a value: --{name}=...")
        else:
            made[name] = converter.value(option.hint, value, f"--{name}")
    return made
