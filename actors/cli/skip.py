"""`onewriter skip STORE MODEL POSITION`: has a stopped model skip an event. Main thread."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.domain_loading import load_model
from actors.cli.json_values import json_line
from actors.cli.program_end import exit_code_of
from actors.cli.skip_options import TILL, add_options
from actors.cli.store_directory import require_store
from actors.cli.store_work import opened_for_work
from actors.domain.read_model import ReadModel
from actors.errors import NotStopped
from actors.system.system import System

__all__ = ["main"]

EXAMPLES = (
    TILL,
    (
        "{program} skip till takings 2 --domain actors.demo.till:faulty --reason 'sold for nothing'",
        "it goes on",
    ),
    ("{program} skipped till", "what is skipped, and why"),
)
EXIT_CODES = {
    "0": "the model skips the event, now or already before",
    "1": "it failed, or the model is not stopped at this event; standard error has the reason",
    "2": "the call was wrong, or there is no such store, domain or model",
    "130": "interrupted; the command skipped says whether the skip is written",
}
EVERY = 0.05
"""Seconds from one look at the model to the next."""


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Have a model skip an event and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "skip",
        "Have a read model skip the event that it is stopped at, on every replica and in every rebuild. The "
        "command unskip takes it back. No other process may have the store open; in a running program, "
        "System.skip_event does the same.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    add_options(parser)
    parser.add_argument("--reason", default="", metavar="TEXT", help="why; kept with the skip")
    options = parser.parse_args(arguments)

    def skip() -> None:
        domain, model = load_model(options.domain, options.model)
        require_store(options.store)
        with opened_for_work(options.store, domain, archives_path=options.archives_path) as system:
            _skip(system, model, options.position, options.reason)
            _wait(system, model.name)
            _show(system, model.name, options.position, options.json)

    return exit_code_of(skip, EXIT_CODES["130"].partition("; ")[2])


def _skip(system: System, model: ReadModel, position: int, reason: str) -> None:
    """Skip the event as soon as the model is stopped at it. Raises `NotStopped` if it comes past it."""
    while True:
        moves = _moves(system, model.name)
        try:
            system.skip_event(model, position, reason)
            return
        except NotStopped:
            if not moves:
                raise
        threading.Event().wait(EVERY)


def _wait(system: System, name: str) -> None:
    while _moves(system, name):
        threading.Event().wait(EVERY)


def _moves(system: System, name: str) -> bool:
    """Whether a replica is still applying events to the model, or filling it."""
    serving = [one for replica in system.health().replicas for one in replica.models if one.name == name]
    building = [one for one in system.rebuilds() if one.model == name]
    return any(one.lag and one.stopped_at is None for one in serving) or any(
        one.state != "stopped" for one in building
    )


def _show(system: System, name: str, position: int, as_json: bool) -> None:
    models = [one for replica in system.health().replicas for one in replica.models if one.name == name]
    stopped = sorted({one.stopped_at for one in models if one.stopped_at is not None})
    if as_json:
        print(json_line({"model": name, "skipped_position": position, "stopped_at": stopped}))
        return
    now = f"is stopped at position {stopped[0]:,} now" if stopped else "is up to date"
    print(f"model {name} skips the event at position {position:,} on every replica, and {now}")
