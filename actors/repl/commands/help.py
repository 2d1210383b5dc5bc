"""`:help`, made from the dataclasses of the domain. The session's thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actors.cli.errors import UsageError, short
from actors.repl.ast import CallNode
from actors.repl.meta_command import MetaCommand, meta_command
from actors.repl.options import MESSAGE_OPTIONS, Option
from actors.repl.shell import Shell
from actors.repl.table import Table
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
        shell.show(*_message(form), help=_message_document(form))
    elif described is not None:
        text = f"{described.usage}\n{described.text}"
        shell.show(text, *_options(described.options), help=_meta_document(described))
    else:
        known = [*shell.vocabulary.forms, *shell.meta_commands]
        raise UsageError(
            f"there is nothing named {short(name)}{did_you_mean(name, known)}; :help lists what there is"
        )


def _everything(shell: Shell) -> None:
    vocabulary, commands = shell.vocabulary, shell.meta_commands.values()
    parts: list[str | Table] = []
    for kind, forms in (("commands", vocabulary.commands), ("queries", vocabulary.queries)):
        rows = tuple((form.signature(), form.doc) for form in forms.values())
        parts += [Table((kind, ""), rows), ""] if rows else []
    parts.append(Table(("about the system", ""), tuple((one.usage, one.text) for one in commands)))
    parts.append(
        '\nWrite values by position or as field=value: ListThing sku=lamp name="Desk lamp", or '
        "ListThing(sku=lamp, ...).\n"
        "Lists are [a, b], dicts {key: value}, messages inside others Name(...); # begins a comment.\n"
        ":help NAME shows the fields and options of one."
    )
    shell.show(
        *parts,
        commands=[_message_document(form) for form in vocabulary.commands.values()],
        queries=[_message_document(form) for form in vocabulary.queries.values()],
        meta_commands=[_meta_document(one) for one in commands],
    )


def _message(form: Form) -> list[str | Table]:
    parts: list[str | Table] = [f"{form.kind} {form.signature()}"]
    if form.doc:
        parts.append(form.doc)
    if form.fields:
        rows = tuple(
            (one.name, one.type, "must be given" if one.default is None else one.default)
            for one in form.fields
        )
        parts.append(Table(("field", "type", "default"), rows))
    parts += _options(MESSAGE_OPTIONS.get(form.kind, {}))
    members = getattr(form.cls, "__members__", None)
    return parts if members is None else [*parts, f"one of {', '.join(members)}"]


def _options(options: Mapping[str, Option]) -> list[str | Table]:
    rows = tuple(
        (f"--{name}" if one.hint is bool else f"--{name}=", one.text) for name, one in options.items()
    )
    return ["", Table(("option", ""), rows)] if rows else []


def _message_document(form: Form) -> dict[str, Any]:
    fields = [{"name": one.name, "type": one.type, "default": one.default} for one in form.fields]
    return {"name": form.name, "kind": form.kind, "text": form.doc, "fields": fields}


def _meta_document(one: MetaCommand[Shell]) -> dict[str, str]:
    return {"name": one.name, "kind": "meta command", "text": one.text, "usage": one.usage}


COMMANDS = (explain,)
