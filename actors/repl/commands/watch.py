"""`:watch` and `:unwatch`. A watch runs in the session's thread, one in the background in its own."""

from __future__ import annotations

from typing import Any

from actors.cli.errors import UsageError, describe
from actors.repl.ast import CallNode, WordNode
from actors.repl.background import BackgroundWatch, changed_answers
from actors.repl.meta_command import meta_command
from actors.repl.options import WATCH_OPTIONS, read_options
from actors.repl.shell import Shell
from storage.errors import OnewriterError

__all__ = ["COMMANDS", "end_watches"]

PATIENCE = 10.0
"""Seconds that a watch in the background gets for its first answer, and at its end for the last."""


@meta_command(":watch QUERY [--count=N] [--seconds=S] [--background]", WATCH_OPTIONS)
def watch(shell: Shell, call: CallNode) -> None:
    """Ask a query at every applied position and show it whenever its answer changed; Ctrl-C ends it."""
    options = read_options(call, WATCH_OPTIONS, shell.converter)
    for name in ("count", "seconds"):
        if options.get(name, 1) <= 0:
            raise UsageError(f"--{name} must be more than 0")
    name, query = _query(shell, call)
    limits: dict[str, Any] = {one: options.get(one) for one in ("count", "seconds")}
    limits["encode"] = shell.system.domain.compile().codec.pack
    if options.get("background"):
        _in_background(shell, name, query, limits)
        return
    try:
        for result, position in changed_answers(shell.session, shell.applied, query, **limits):
            shell.show_result(name, result, position)
    except KeyboardInterrupt:
        shell.output.note(f"\n{name} is no longer watched")


def _query(shell: Shell, call: CallNode) -> tuple[str, Any]:
    """The query after `:watch`, written either way."""
    if not call.positional:
        raise UsageError("QUERY is missing: :watch QUERY [--count=N] [--seconds=S] [--background]")
    first, *rest = call.positional
    if isinstance(first, CallNode) and not rest and not call.named:
        name, positional, named = first.name, first.positional, first.named
    elif isinstance(first, WordNode):
        name, positional, named = first.text, tuple(rest), call.named
    else:
        raise UsageError("after :watch comes the name of a query")
    if name in shell.vocabulary.commands:
        raise UsageError(f"{name} is a command; only queries can be watched")
    form = shell.vocabulary.queries.get(name)
    if form is None:
        raise shell.unknown(name)
    return name, shell.converter.message(form, positional, named)


def _in_background(shell: Shell, name: str, query: Any, limits: dict[str, Any]) -> None:
    # One of its own: what it has shown meanwhile is nothing that the next line waits for.
    session = shell.system.session(shell.session.position)

    def run(watch: BackgroundWatch) -> None:
        try:
            for result, position in changed_answers(
                session,
                shell.applied,
                query,
                stopped=watch.stopped,
                on_answer=watch.answered,
                **limits,
            ):
                shell.show_result(name, result, position, f"{name}: ")
        except Exception as error:
            shell.output.error(f"the watch of {name} ended: {describe(error)}")

    shell.watches[:] = [one for one in shell.watches if not one.ended]
    started = BackgroundWatch(name, shell.applied, run)
    shell.watches.append(started)
    # The first answer comes before whatever the next line does.
    started.wait_answered(0, PATIENCE)


@meta_command(":unwatch")
def unwatch(shell: Shell, call: CallNode) -> None:
    """End what watches and follows in the background."""
    shell.arguments(call)
    names = [one.text for one in shell.watches if not one.ended]
    end_watches(shell)
    shell.show(
        f"no longer watched: {', '.join(names)}" if names else "nothing is watched in the background",
        unwatched=names,
    )


def end_watches(shell: Shell) -> None:
    """Stop what watches and follows in the background, once it has shown what is applied."""
    if not shell.watches:
        return
    try:
        position = shell.system.wait_applied(timeout=PATIENCE)
    except OnewriterError:
        position = 0
    for one in shell.watches:
        one.stop(position, PATIENCE)
    shell.watches.clear()


COMMANDS = (
    watch,
    unwatch,
)
