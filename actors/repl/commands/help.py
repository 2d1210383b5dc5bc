"""`:help`, made from the dataclasses of the domain. The session's thread."""

from __future__ import annotations

from collections.abc import Mapping

from actors.cli.errors import UsageError, short
from actors.repl.ast import CallNode
from actors.repl.meta_command import meta_command
from actors.repl.options import COMMAND_OPTIONS, QUERY_OPTIONS, Option
from actors.repl.shell import Shell
from actors.repl.tables import Table
from actors.repl.vocabulary import Form, did_you_mean

__all__ = ["COMMANDS"]


@meta_command(":help [NAME]", completes=("name",))
def explain(shell: Shell, call: CallNode) -> None:
    """What can be typed, or what one name means."""
    (name,) = shell.arguments(call, (("NAME", str, None),))
    if name is None:
        _everything(shell)
        return
    form = shell.vocabulary.forms.get(name)
    described = shell.meta_commands.get(name if name.startswith(":") else f":{name}")
    if form is not None:
        _message(shell, form)
    elif described is not None:
        shell.output.say(f"{described.usage}\n{described.text}")
        if described.options:
            _options(shell, described.options)
    else:
        known = [*shell.vocabulary.forms, *shell.meta_commands]
        raise UsageError(
            f"there is nothing named {short(name)}{did_you_mean(name, known)}; :help lists what there is"
        )


def _everything(shell: Shell) -> None:
    for kind, forms in (("commands", shell.vocabulary.commands), ("queries", shell.vocabulary.queries)):
        rows = tuple((form.signature(), form.doc) for form in forms.values())
        if rows:
            shell.output.table(Table((kind, ""), rows))
            shell.output.say("")
    shell.output.table(
        Table(("about the system", ""), tuple((one.usage, one.text) for one in shell.meta_commands.values()))
    )
    shell.output.say(
        '\nWrite values by place or as field=value: ListThing sku=lamp name="Desk lamp", or ListThing(sku=lamp, ...).\n'
        "Lists are [a, b], dicts {key: value}, messages inside others Name(...); # begins a comment.\n"
        ":help NAME shows the fields and options of one."
    )


def _message(shell: Shell, form: Form) -> None:
    shell.output.say(f"{form.kind} {form.signature()}")
    if form.doc:
        shell.output.say(form.doc)
    if form.fields:
        rows = tuple(
            (one.name, one.type, "must be given" if one.default is None else one.default)
            for one in form.fields
        )
        shell.output.table(Table(("field", "type", "default"), rows))
    if form.kind in ("command", "query"):
        _options(shell, COMMAND_OPTIONS if form.kind == "command" else QUERY_OPTIONS)
    members = getattr(form.cls, "__members__", None)
    if members is not None:
        shell.output.say(f"one of {', '.join(members)}")


def _options(shell: Shell, options: Mapping[str, Option]) -> None:
    rows = tuple(
        (f"--{name}" if one.hint is bool else f"--{name}=", one.text) for name, one in options.items()
    )
    shell.output.say("")
    shell.output.table(Table(("option", ""), rows))


COMMANDS = (explain,)
