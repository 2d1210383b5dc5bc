"""`onewriter rebuild MODEL`: opens a store, rebuilds a model, and shows the progress. Main thread."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from actors.cli.command_parser import PROGRAM, CommandParser, positive
from actors.cli.domain_loading import SHORT, load_domain
from actors.cli.errors import CommandLineError, describe
from actors.cli.json_values import json_line
from actors.health import Rebuild
from actors.runtime.rebuilds import start_rebuild, wait_rebuilt
from actors.system.system import System
from storage import OnewriterError
from storage.files.environment import DATA_FILE

__all__ = ["main"]

DONE, FAILED, BAD_USE, INTERRUPTED = 0, 1, 2, 130
EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    ("{program} rebuild catalogue --store shop --domain shop", "of the demo's store"),
    (
        "{program} rebuild catalogue --store shop --domain actors.demo.shop:shop --json",
        "the same, for a program",
    ),
)
EXIT_CODES = {
    "0": "every replica serves the new tables",
    "1": "it failed; standard error has the reason",
    "2": "the call was wrong, or there is no such store or model",
    "130": "interrupted; it continues when the store is opened again",
}
EVERY = 1.0
"""Seconds between two lines of progress."""


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Rebuild a model and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "rebuild",
        "Build a read model's tables again from the log, while the old ones stay in use. A rebuild that was "
        "interrupted is continued. No other process may have the store open.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("model", metavar="MODEL", help="the read model's name")
    parser.add_argument("--store", required=True, metavar="PATH", help="the store's directory")
    parser.add_argument(
        "--domain",
        required=True,
        metavar="MODULE:ATTRIBUTE",
        help=f"the domain, or {' or '.join(SHORT)} for those of the demo",
    )
    parser.add_argument(
        "--replicas", type=positive, metavar="N", help="read replicas (default: as many as the store has)"
    )
    parser.add_argument("--json", action="store_true", help="a JSON document a line")
    options = parser.parse_args(arguments)
    try:
        domain = load_domain(options.domain)
        names = {model.name for model in domain.declarations.read_models}
        if options.model not in names:
            known = ", ".join(sorted(names)) or "none"
            raise CommandLineError(
                f"domain {domain.name!r} has no read model {options.model!r}; it has: {known}"
            )
        # Opening makes what is missing, and here nothing is to be made.
        if not os.path.isfile(os.path.join(options.store, DATA_FILE)):
            raise CommandLineError(
                f"{options.store} is not a store; give the directory that System.open was given"
            )
    except CommandLineError as error:
        print(error, file=sys.stderr)
        return BAD_USE
    replicas = _replicas(options.store) if options.replicas is None else options.replicas
    try:
        began = time.monotonic()
        # There are no queries that a rebuild could slow down.
        with System.open(options.store, domain, replicas=replicas, rebuild_share=1.0) as system:
            _rebuild(system, options.model, began, options.json)
    except BrokenPipeError:
        raise
    except (OnewriterError, OSError, ValueError) as error:
        print(describe(error), file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(
            "interrupted; it goes on from where it is when the store is opened again, by this or a System",
            file=sys.stderr,
        )
        return INTERRUPTED
    return DONE


def _replicas(store: str) -> int:
    try:
        found = [name for name in os.listdir(os.path.join(store, "replicas")) if name.startswith("replica-")]
    except FileNotFoundError:
        found = []
    return len(found) or 3


def _rebuild(system: System, model: str, began: float, as_json: bool) -> None:
    runtime = system._runtime
    replicas = runtime.progress.holders([model])
    start_rebuild(runtime, model)
    while not wait_rebuilt(runtime, model, EVERY):
        for one in system.rebuilds():
            if one.model == model and one.state == "building":
                print(json_line({"rebuild": one}) if as_json else _line(one), flush=True)
    system.wait_applied(timeout=60.0)
    seconds = time.monotonic() - began
    events = sum(slot.projector.applied_events for slot in runtime.slots.values())
    version, position = runtime.domain.models[model].version, system.position
    if as_json:
        document = {
            "rebuilt": model,
            "version": version,
            "replicas": len(replicas),
            "position": position,
            "events_applied": events,
            "seconds": seconds,
        }
        print(json_line(document), flush=True)
        return
    print(
        f"{model} version {version} is rebuilt on "
        f"{len(replicas)} replica{'s' if len(replicas) > 1 else ''} up to position {position:,}: "
        f"{events:,} events applied in {seconds:.1f} s, {events / max(seconds, 1e-9):,.0f} a second",
        flush=True,
    )


def _line(one: Rebuild) -> str:
    rate = "" if one.events_per_second is None else f", {one.events_per_second:,.0f} events a second"
    left = "" if one.seconds_left is None else f", {one.seconds_left:,.0f} s left"
    share = 100 * one.position // max(one.head, 1)
    return f"{one.replica}: {one.position:,} of {one.head:,} events ({share} %){rate}{left}"
