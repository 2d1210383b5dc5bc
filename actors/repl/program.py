"""`onewriter repl`: opens the store with a domain and runs a session, at a terminal or from a pipe."""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from logging.handlers import MemoryHandler
from types import FrameType
from typing import Any, BinaryIO

from actors.cli.command_parser import PROGRAM, CommandParser, positive
from actors.cli.domain_loading import DOMAIN, SHORT, load_domain
from actors.cli.errors import CommandLineError, Quit, describe
from actors.cli.exit_codes import BAD_USE, DONE, FAILED, INTERRUPTED
from actors.cli.store_directory import is_store
from actors.cli.stored_domain import stored_domain
from actors.cli.temporary_directory import temporary_directory
from actors.domain.domain import Domain
from actors.repl.commands.registered import META_COMMANDS
from actors.repl.commands.watch import end_watches
from actors.repl.render import JsonOutput, Output, PlainOutput, RichOutput, printable
from actors.repl.shell import Shell
from actors.repl.statements import statements
from actors.system.system import System
from storage.errors import OnewriterError

__all__ = ["main", "run_lines"]

TWICE_WITHIN = 5.0
"""Seconds within which a second signal to end is ignored."""
EXAMPLES = (
    ("{program} repl", "the demo's shop, in a store that is removed at the end"),
    ("{program} repl mine", "the same in a store that is made and kept"),
    ("{program} repl shop --domain actors.demo.shop:shop", "look at it, also while a program has it open"),
    ("{program} repl shop --domain shop --write", "execute commands on it, too"),
    ("echo 'Cheapest 3' | {program} repl shop --domain shop", "statements from a pipe or a file"),
    ("echo ':replicas' | {program} repl shop --domain shop --json", "a JSON document for each statement"),
)
EXIT_CODES = {
    "0": "the session has ended",
    "1": "a statement from a pipe failed, or the store did; standard error has the reason",
    "2": "the call was wrong: there is no such domain, or an extra is missing",
    "130": "interrupted (128 and the signal's number for other signals)",
}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Run a session and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "repl",
        "A shell with every command and query of a domain by name, and meta commands about the system; :help "
        "lists them. A store that exists is opened for reading: nothing in it changes, and another process "
        "may have it open. At a terminal it needs the extra `repl`. From a pipe it ends at the first error.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument(
        "path",
        nargs="?",
        metavar="PATH",
        help="the store's directory (default: one that is removed at the end)",
    )
    parser.add_argument(
        "--domain",
        metavar="MODULE:ATTRIBUTE",
        help=f"the domain, or {' or '.join(SHORT)} of the demo (default, unless the store exists: {DOMAIN})",
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="open a store that exists for writing; its process managers run",
    )
    parser.add_argument(
        "--no-managers", action="store_true", help="run no process manager, with --write or a new store"
    )
    parser.add_argument(
        "--replicas", type=positive, metavar="N", help="read replicas (default: 3, or 1 for reading)"
    )
    parser.add_argument(
        "--workers",
        choices=("thread", "process"),
        default="thread",
        help="whether replicas are threads or processes (default: thread)",
    )
    parser.add_argument(
        "--json", action="store_true", help="reply with JSON, a document a line; see docs/operations.md"
    )
    options = parser.parse_args(arguments)
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    _plain_streams(terminal)
    try:
        if terminal:
            _require_extra(program)
        reads = options.path is not None and is_store(options.path) and not options.write
        domain = load_domain(_domain(options.path, options.domain))
    except CommandLineError as error:
        return _failed(str(error), BAD_USE)
    output: Output
    if options.json:
        output = JsonOutput()
    else:
        output = RichOutput() if terminal else PlainOutput(sys.stdout, sys.stderr)
    _end_in_order()
    try:
        settings = {"replicas": options.replicas or (1 if reads else 3), "workers": options.workers}
        if reads:
            settings["mode"] = "read"
        elif options.no_managers:
            settings["managers"] = False
        return _session(domain, options.path, settings, output, terminal)
    except _NotOpened as error:
        return _failed(str(error), FAILED)
    except OnewriterError as error:
        return _failed(describe(error), FAILED)


def _domain(path: str | None, given: str | None) -> str:
    """The domain to open a store with. Raises `CommandLineError` if a store exists and none is given."""
    if given is not None or path is None or not is_store(path):
        return DOMAIN if given is None else given
    name = stored_domain(path)
    filled = "" if name is None else f"it was filled by a domain named {name!r}; "
    raise CommandLineError(
        f"{path} is a store already, and has to be opened with its domain; {filled}give --domain "
        "MODULE:ATTRIBUTE"
    )


def _failed(text: str, code: int) -> int:
    print(printable(text), file=sys.stderr, flush=True)
    return code


def _session(
    domain: Domain, path: str | None, settings: dict[str, Any], output: Output, terminal: bool
) -> int:
    with ExitStack() as stack:
        system = _opened(stack, domain, path, settings)
        if path is None:
            output.note("this store is thrown away at the end; name a PATH to keep one")
        if settings.get("mode") == "read":
            output.note(f"{path} is open for reading; --write opens it for writing")
        shell = Shell(system, output, META_COMMANDS)
        if terminal:
            from actors.repl.interactive import interact

            code = interact(shell)
        else:
            code = run_lines(shell, sys.stdin.buffer)
        end_watches(shell)
        return code


class _NotOpened(Exception):
    pass


def _opened(stack: ExitStack, domain: Domain, path: str | None, settings: dict[str, Any]) -> System:
    """The system, which `stack` closes. Raises `_NotOpened`, whose line is all that is said then."""
    # What is logged meanwhile, tracebacks too, would only bury that line.
    held = MemoryHandler(capacity=sys.maxsize, flushLevel=sys.maxsize)
    logger = logging.getLogger("onewriter")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(held)
    try:
        if path is None:
            directory = stack.enter_context(temporary_directory("onewriter-repl-"))
            path = os.path.join(directory, "store")
        system = stack.enter_context(System.open(path, domain, **settings))
    except Exception as error:
        raise _NotOpened(describe(error)) from error
    finally:
        logger.removeHandler(held)
        logger.propagate = propagate
    for record in held.buffer:
        logging.getLogger(record.name).handle(record)
    return system


def run_lines(shell: Shell, source: BinaryIO) -> int:
    """Carry out the statements of a file; stops at the first error, which names its line."""
    try:
        for number, statement in statements(_decoded(source)):
            try:
                shell.execute(statement)
            except (Quit, BrokenPipeError):
                raise
            except Exception as error:
                shell.output.error(f"line {number}: {describe(error)}")
                return FAILED
    except Quit:
        pass
    except _NotText as error:
        shell.output.error(str(error))
        return FAILED
    except KeyboardInterrupt:
        shell.output.error("interrupted")
        return INTERRUPTED
    return DONE


class _NotText(Exception):
    pass


def _decoded(source: BinaryIO) -> Iterator[str]:
    for number, line in enumerate(source, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise _NotText(f"line {number}: not UTF-8 text ({error.reason} at byte {error.start})") from None


def _require_extra(program: str) -> None:
    missing = [name for name in ("prompt_toolkit", "rich") if find_spec(name) is None]
    if missing:
        raise CommandLineError(
            f"a session at a terminal needs {' and '.join(missing)}: pip install 'onewriter[repl]'. "
            f"Piped input works without: {program} repl < FILE"
        )


def _plain_streams(terminal: bool) -> None:
    """Output never fails for a character that its encoding does not have."""
    if terminal:
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _end_in_order() -> None:
    """SIGHUP and SIGTERM end the session as `:quit` does: the store is closed, and removed if temporary."""
    if threading.current_thread() is not threading.main_thread():
        return

    last = -math.inf

    def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        nonlocal last
        # A closed window signals twice, from the terminal and from the shell; the first closes the store.
        # A later signal counts: what the first one raised may have been lost in some callback.
        if (now := time.monotonic()) - last > TWICE_WITHIN:
            last = now
            raise SystemExit(128 + number)

    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, leave)
