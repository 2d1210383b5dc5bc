"""Where meta commands are registered, and how they read their arguments. No thread runs this module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.cli.errors import UsageError
from actors.repl.ast import Call
from actors.repl.options import Option

if TYPE_CHECKING:
    from actors.repl.shell import Shell

__all__ = ["META", "Meta", "arguments", "meta"]

Run = Callable[["Shell", Call], None]


@dataclass(frozen=True, slots=True)
class Meta:
    """A meta command: how it is written, what it does in a sentence, what runs it, and what it reads by itself."""

    usage: str
    text: str
    run: Run
    options: Mapping[str, Option] = field(default_factory=dict)


META: dict[str, Meta] = {}


def meta(usage: str, options: Mapping[str, Option] | None = None) -> Callable[[Run], Run]:
    """Register a meta command; its first line of text is its help. One with `options` reads them by itself."""

    def register(run: Run) -> Run:
        name, text = usage.partition(" ")[0], (run.__doc__ or "").partition("\n")[0]
        META[name] = Meta(usage, text, run, options or {})
        return run

    return register


def arguments(shell: Shell, call: Call, hints: Sequence[tuple[str, Any, Any]]) -> list[Any]:
    """The values of a meta command; each hint is a name, a type and the default, `...` when it must be given."""
    written = META[call.name]
    if (call.options and not written.options) or call.named or len(call.positional) > len(hints):
        raise UsageError(f"it is written {written.usage}")
    values = []
    for number, (name, hint, default) in enumerate(hints):
        if number < len(call.positional):
            values.append(shell.converter.value(hint, call.positional[number], name))
        elif default is ...:
            raise UsageError(f"{name} is missing: {META[call.name].usage}")
        else:
            values.append(default)
    return values
