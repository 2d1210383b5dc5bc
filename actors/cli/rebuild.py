"""`python -m actors rebuild MODEL`: opens a store, fills a model's tables anew, and says how far it is. Main thread."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from actors.cli.domain_loading import load_domain
from actors.cli.errors import CommandLineError, describe
from actors.health import Rebuild
from actors.runtime.rebuilds import start_rebuild, wait_rebuilt
from actors.system.system import System
from storage import OnewriterError
from storage.files.environment import DATA_FILE

__all__ = ["main"]

DONE, FAILED, BAD_USE = 0, 1, 2
EVERY = 1.0
"""Seconds between two lines."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Rebuild a model; 0 when every replica serves the new tables, 1 for a failure, 2 for a wrong call."""
    parser = argparse.ArgumentParser(
        prog="python -m actors rebuild",
        description="Fill a read model's tables anew from the log. One that is under way already goes on.",
    )
    parser.add_argument("model", metavar="MODEL", help="the read model's name")
    parser.add_argument("--store", required=True, metavar="PATH", help="the store's directory")
    parser.add_argument("--domain", required=True, metavar="MODULE:ATTRIBUTE", help="the domain")
    parser.add_argument(
        "--replicas", type=int, metavar="N", help="read replicas (default: as many as the store has)"
    )
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
        replicas = _replicas(options.store) if options.replicas is None else options.replicas
        if replicas < 1:
            raise CommandLineError(f"--replicas must be at least 1, not {replicas}")
    except CommandLineError as error:
        print(error, file=sys.stderr)
        return BAD_USE
    try:
        began = time.monotonic()
        # Nobody asks this system anything, so there is nothing to be slow for.
        with System.open(options.store, domain, replicas=replicas, rebuild_share=1.0) as system:
            _rebuild(system, options.model, began)
    except (OnewriterError, OSError, ValueError) as error:
        print(describe(error), file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(
            "interrupted; it goes on from where it is when the store is opened again, by this or a System",
            file=sys.stderr,
        )
        return 130
    return DONE


def _replicas(store: str) -> int:
    try:
        found = [name for name in os.listdir(os.path.join(store, "replicas")) if name.startswith("replica-")]
    except FileNotFoundError:
        found = []
    return len(found) or 3


def _rebuild(system: System, model: str, began: float) -> None:
    runtime = system._runtime
    replicas = runtime.progress.holders([model])
    start_rebuild(runtime, model)
    while not wait_rebuilt(runtime, model, EVERY):
        for one in system.rebuilds():
            if one.model == model and one.state == "building":
                print(_line(one), flush=True)
    system.wait_applied(timeout=60.0)
    seconds = time.monotonic() - began
    events = sum(home.projector.applied_events for home in runtime.homes.values())
    print(
        f"{model} version {runtime.domain.models[model].version} is rebuilt on "
        f"{len(replicas)} replica{'s' if len(replicas) > 1 else ''} up to position {system.position:,}: "
        f"{events:,} events applied in {seconds:.1f} s, {events / max(seconds, 1e-9):,.0f} a second"
    )


def _line(one: Rebuild) -> str:
    rate = "" if one.events_per_second is None else f", {one.events_per_second:,.0f} events a second"
    left = "" if one.seconds_left is None else f", {one.seconds_left:,.0f} s left"
    share = 100 * one.position // max(one.head, 1)
    return f"{one.replica}: {one.position:,} of {one.head:,} events ({share} %){rate}{left}"
