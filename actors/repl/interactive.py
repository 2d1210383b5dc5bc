"""The session at a terminal, with prompt_toolkit: editing, completion, history. The main thread.

Only this module, `prompt_thread` and `render.RichOutput` need the extra `repl`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from actors.cli.errors import Quit, describe
from actors.repl.completion import Suggester
from actors.repl.prompt_thread import LinePrompt
from actors.repl.shell import Shell
from actors.repl.statements import is_open, statements
from actors.system.system import System
from storage.errors import OnewriterError, StorageError

__all__ = ["LineCompleter", "interact", "open_history"]


def interact(shell: Shell) -> int:
    """Read statements from the terminal until Ctrl-D or `:quit`; errors are shown and the session goes on."""
    name = shell.system.domain.name
    shell.output.note(f"{name}: :help lists what can be typed, Tab completes, :quit ends.")
    session: PromptSession[str] = PromptSession(
        f"{name}> ",
        history=open_history(),
        completer=LineCompleter(shell),
        complete_while_typing=False,
        multiline=Condition(lambda: is_open(get_app().current_buffer.text)),
        prompt_continuation="... ".rjust(len(name) + 2),
    )
    with LinePrompt(session) as prompt:
        return _converse(shell, prompt)


def _converse(shell: Shell, prompt: LinePrompt) -> int:
    while True:
        try:
            text = prompt.read()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return 0
        try:
            with prompt.interruptible():
                for _, statement in statements(text.split("\n")):
                    shell.execute(statement)
        except Quit:
            return 0
        except KeyboardInterrupt:
            shell.output.error("interrupted; a command that was sent may still be carried out")
        except Exception as error:
            shell.output.error(describe(error))


class LineCompleter(Completer):
    """Offers what `Suggester` finds."""

    def __init__(self, shell: Shell) -> None:
        self._suggester = Suggester(shell.vocabulary, shell.meta_commands, SystemNames(shell.system))

    def get_completions(
        self,
        document: Document,
        complete_event: CompleteEvent,  # noqa: ARG002
    ) -> Iterator[Completion]:
        """Called by prompt_toolkit when Tab is pressed."""
        for one in self._suggester.suggest(document.text_before_cursor):
            yield Completion(one.text, start_position=-one.typed, display_meta=one.note)


class SystemNames:
    """Names that the running system knows, for completion."""

    def __init__(self, system: System) -> None:
        self._system = system

    def actors(self) -> Iterable[str]:
        """Every actor."""
        return [one.name for one in self._system.health().actors]

    def models(self) -> Iterable[str]:
        """Every read model of the domain."""
        return dict.fromkeys(one.name for one in self._system.domain.declarations.read_models)

    def consumers(self) -> Iterable[str]:
        """Every consumer that the store knows; none where it can't tell."""
        try:
            return [one.name for one in self._system.consumers()]
        except OnewriterError:
            return []

    def managers(self) -> Iterable[str]:
        """Every process manager."""
        return [one.name for one in self._system.process_managers()]

    def streams(self, prefix: str, limit: int) -> Iterable[str]:
        """Streams that begin so; none where the log can't tell."""
        try:
            return [name for name, _ in self._system.streams(prefix, limit)]
        except StorageError:
            return []


def open_history() -> History:
    """The lines of earlier sessions, from `$XDG_STATE_HOME/onewriter/history`; else this session's only."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    path = Path(state) / "onewriter" / "history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("ab"):
            return ForgivingHistory(str(path))
    except OSError:
        return InMemoryHistory()


class ForgivingHistory(FileHistory):
    """A history whose file may become unwritable or be damaged: the session goes on."""

    def load_history_strings(self) -> Iterable[str]:
        """Earlier lines, the latest first."""
        try:
            return list(super().load_history_strings())
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        """Add a line."""
        with suppress(OSError):
            super().store_string(string)
