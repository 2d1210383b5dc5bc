"""Carries out one statement after the other against an open system. The session's thread.

Queries see what was in the log when the session began, and what its own commands wrote, whatever replica
answers; `--eventual` asks for less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from actors.cli.errors import UsageError, short
from actors.errors import OpenedForReading
from actors.receipt import Receipt
from actors.repl.ast import CallNode
from actors.repl.background import AppliedPosition, BackgroundTask
from actors.repl.meta_command import MetaCommand
from actors.repl.options import COMMAND_OPTIONS, QUERY_OPTIONS, read_options
from actors.repl.parser import parse
from actors.repl.render import Output
from actors.repl.table import Table
from actors.repl.tables import events_table, rows_table
from actors.repl.value_conversion import Converter
from actors.repl.value_text import counted
from actors.repl.vocabulary import Form, Vocabulary, did_you_mean
from actors.system.system import System

__all__ = ["Shell"]

AN = {"state": "a state", "event": "an event", "value": "a value"}


class Shell:
    """Carries out statements; `session` knows where the log ended at first, and what its commands wrote."""

    def __init__(
        self, system: System, output: Output, meta_commands: Mapping[str, MetaCommand[Shell]]
    ) -> None:
        """`meta_commands` by name, with its colon: those of `commands.registered`."""
        self.system = system
        self.output = output
        self.meta_commands = meta_commands
        self.vocabulary = Vocabulary(system.domain)
        self.converter = Converter(self.vocabulary.forms)
        # Replicas may be filled only now, as those of a reader are: nobody asks to see less than is there.
        self.session = system.session(system.position)
        self.applied = AppliedPosition()
        self.watches: list[BackgroundTask] = []
        system.on_applied(self.applied)

    def execute(self, text: str) -> None:
        """Carry out a statement and show what came of it. Raises `Quit`, or whatever went wrong."""
        call = parse(text)
        if call is None:
            return
        try:
            self._carry_out(call)
        except OpenedForReading as error:
            raise UsageError(
                f"{call.name} was not carried out: this session has {self.system.path} open for reading; "
                "start it again with --write to change something"
            ) from error

    def _carry_out(self, call: CallNode) -> None:
        if call.name.startswith(":"):
            self._meta(call)
        elif call.name in self.vocabulary.commands:
            self._command(self.vocabulary.commands[call.name], call)
        elif call.name in self.vocabulary.queries:
            self._query(self.vocabulary.queries[call.name], call)
        else:
            raise self.unknown(call.name)

    def unknown(self, name: str) -> UsageError:
        """What to say of a name that is no command and no query."""
        known = [*self.vocabulary.commands, *self.vocabulary.queries]
        form = self.vocabulary.forms.get(name)
        if form is not None:
            return UsageError(f"{name} is {AN[form.kind]}, not a command or a query; :help lists those")
        return UsageError(
            f"there is no command or query {short(name)}{did_you_mean(name, known)}; :help lists them"
        )

    def _meta(self, call: CallNode) -> None:
        found = self.meta_commands.get(call.name)
        if found is None:
            raise UsageError(
                f"there is no {short(call.name)}{did_you_mean(call.name, self.meta_commands)}; "
                ":help lists what there is"
            )
        found.run(self, call)

    def show(self, *parts: str | Table, **document: Any) -> None:
        """Reply: `parts` are lines and tables for people, `document` is the same for `--json`.

        Without a document, it has the lines as `text`.
        """
        self.output.show(parts, document or {"text": "\n".join(map(str, parts))})

    def arguments(self, call: CallNode, hints: Sequence[tuple[str, Any, Any]] = ()) -> list[Any]:
        """The values of a meta command. A hint is a name, a type and the default, `...` if it is required."""
        command = self.meta_commands[call.name]
        if (call.options and not command.options) or call.named or len(call.positional) > len(hints):
            raise UsageError(f"it is written {command.usage}")
        values = []
        for number, (name, hint, default) in enumerate(hints):
            if number < len(call.positional):
                values.append(self.converter.value(hint, call.positional[number], name))
            elif default is ...:
                raise UsageError(f"{name} is missing: {command.usage}")
            else:
                values.append(default)
        return values

    # -- commands and queries ----------------------------------------------------------------
    def _command(self, form: Form, call: CallNode) -> None:
        options = read_options(call, COMMAND_OPTIONS, self.converter)
        command = self.converter.message(form, call.positional, call.named)
        receipt = self.session.execute(
            command, expected_version=options.get("expected-version"), command_id=options.get("id")
        )
        self.show_receipt(receipt)

    def show_receipt(self, receipt: Receipt) -> None:
        """The events that a command led to."""
        where = f"{receipt.stream} is at version {receipt.version}"
        if not receipt.last:
            self.show(f"nothing to do; {where} (id {receipt.command_id})", receipt=receipt)
            return
        events = list(self.system.subscribe(receipt.first - 1, until=receipt.last))
        table = events_table(events, self.vocabulary, times=False)
        title = f"done; {where} (id {receipt.command_id})"
        self.show(table.titled(title), receipt={**receipt._asdict(), "events": events})

    def _query(self, form: Form, call: CallNode) -> None:
        options = read_options(call, QUERY_OPTIONS, self.converter)
        query = self.converter.message(form, call.positional, call.named)
        asked = self.system if options.get("eventual") else self.session
        max_lag: int | float | timedelta | None = options.get("max-lag")
        result, seen = asked.query_at(
            query,
            consistency="strong" if options.get("strong") else "eventual",
            after=options.get("after"),
            max_lag=max_lag,
        )
        self.show_result(form.name, result, seen)

    def show_result(self, query: str, result: Any, position: int, label: str = "") -> None:
        """What a query of that name returned, with the position that it shows; `label` goes before."""
        table = rows_table(result, self.vocabulary)
        part: str | Table
        if table is not None:
            count = f"{counted(len(result), 'row')} " if isinstance(result, list) else ""
            part = table.titled(f"{label}{count}at position {position}")
        elif isinstance(result, list | tuple | dict | frozenset):
            part = f"{label}nothing found at position {position}"
        else:
            part = f"{label}{self.vocabulary.literal(result)} at position {position}"
        self.show(part, query=query, result=result, position=position)
