"""Meta commands: commands about the system itself, such as `:health`. No thread runs this module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from actors.repl.ast import CallNode
from actors.repl.options import Option

__all__ = ["Completion", "MetaCommand", "meta_command"]

S = TypeVar("S")
Completion = Literal["actor", "stream", "read model", "consumer", "process manager", "name"]
"""What Tab offers for an argument; `name` is any message or meta command."""


@dataclass(frozen=True, slots=True)
class MetaCommand(Generic[S]):
    """A meta command: how it is written, what it does in a sentence, and what runs it in a shell of type S.

    One with `options` reads them itself. `completes` says what Tab offers for its arguments, in their order.
    """

    usage: str
    text: str
    run: Callable[[S, CallNode], None]
    options: Mapping[str, Option] = field(default_factory=dict)
    completes: Sequence[Completion] = ()

    @property
    def name(self) -> str:
        """What it is called by, with its colon."""
        return self.usage.partition(" ")[0]


def meta_command(
    usage: str, options: Mapping[str, Option] | None = None, *, completes: Sequence[Completion] = ()
) -> Callable[[Callable[[S, CallNode], None]], MetaCommand[S]]:
    """Make a meta command of a function; the first line of its docstring is its help."""

    def made(run: Callable[[S, CallNode], None]) -> MetaCommand[S]:
        return MetaCommand(usage, (run.__doc__ or "").partition("\n")[0], run, options or {}, completes)

    return made
