"""`python -m actors repl`: opens the store with a domain and runs a session, at a terminal or from a pipe."""

from __future__ import annotations

import argparse
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

from actors.cli.domain_loading import DOMAIN, SHORT, load_domain
from actors.cli.errors import CommandLineError, Quit, describe
from actors.cli.temporary_directory import temporary_directory
from actors.domain.domain import Domain
from actors.repl.commands.registered import META_COMMANDS
from actors.repl.commands.watch import end_watches
from actors.repl.render import Output, PlainOutput, RichOutput
from actors.repl.shell import Shell
from actors.repl.statements import statements
from actors.system.system import System
from storage.errors import OnewriterError

__all__ = ["add_arguments", "main", "run_lines"]

TWICE_WITHIN = 5.0
"""Seconds within which a second polite signal says nothing new."""
DONE, FAILED, BAD_USE, INTERRUPTED = 0, 1, 2, 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the session."""
    parser.add_argument(
        "path", nargs="?", metavar="PATH", help="the store's directory (default: thrown away)"
    )
    parser.add_argument(
        "--domain",
        default=DOMAIN,
        metavar="MODULE:ATTRIBUTE",
        help=f"the domain, or {' or '.join(SHORT)} of the demo (default: {DOMAIN})",
    )
    parser.add_argument(
        "--replicas", type=_positive, default=3, metavar="N", help="read replicas (default: 3)"
    )
    parser.add_argument(
        "--workers",
        choices=("thread", "process"),
        default="thread",
        help="whether replicas are threads or processes (default: thread)",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a session; 0 at its end, 1 after the first error of piped input or of the store, 2 when it can't begin."""
    parser = argparse.ArgumentParser(
        prog="python -m actors repl",
        description="Commands and queries of a domain, by hand or from a file: python -m actors repl < FILE.",
    )
    add_arguments(parser)
    options = parser.parse_args(arguments)
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    _plain_streams(terminal)
    output: Output = PlainOutput(sys.stdout, sys.stderr)
    try:
        if terminal:
            _require_extra()
            output = RichOutput()
        domain = load_domain(options.domain)
    except CommandLineError as error:
        output.error(str(error))
        return BAD_USE
    _end_in_order()
    try:
        settings = {"replicas": options.replicas, "workers": options.workers}
        return _session(domain, options.path, settings, output, terminal)
    except _NotOpened as error:
        output.error(str(error))
        return FAILED
    except OnewriterError as error:
        output.error(describe(error))
        return FAILED
    except BrokenPipeError:
        # Whoever read the output has enough; Python would complain once more while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _session(
    domain: Domain, path: str | None, settings: dict[str, Any], output: Output, terminal: bool
) -> int:
    with ExitStack() as stack:
        system = _opened(stack, domain, path, settings)
        if path is None:
            note = "this store is thrown away at the end; name a PATH to keep one"
            (output.say if terminal else PlainOutput(sys.stderr, sys.stderr).say)(note)
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
            folder = stack.enter_context(temporary_directory("onewriter-repl-"))
            path = os.path.join(folder, "store")
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


def _require_extra() -> None:
    missing = [name for name in ("prompt_toolkit", "rich") if find_spec(name) is None]
    if missing:
        raise CommandLineError(
            f"a session at a terminal needs {' and '.join(missing)}: pip install 'onewriter[repl]'. "
            "Piped input works without: python -m actors repl < FILE"
        )


def _plain_streams(terminal: bool) -> None:
    """Output never fails for a character that the place it goes to can't show."""
    if terminal:
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _end_in_order() -> None:
    """A closed terminal or a polite kill ends the session as `:quit` does: the store is closed, or thrown away."""
    if threading.current_thread() is not threading.main_thread():
        return

    told = -math.inf

    def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        nonlocal told
        # A closed window is told of twice, by the terminal and by the shell, and once is enough to close the store.
        # A later one counts: what the first one raised may have been lost, in some callback.
        if (now := time.monotonic()) - told > TWICE_WITHIN:
            told = now
            raise SystemExit(128 + number)

    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, leave)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number
