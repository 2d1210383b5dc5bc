"""`onewriter rebuild MODEL`: opens a store, rebuilds a model, and shows the progress. Main thread."""

from __future__ import annotations

import time
from collections.abc import Sequence

from actors.cli.archive_options import add_archives_path
from actors.cli.command_parser import PROGRAM, CommandParser, positive
from actors.cli.domain_loading import add_domain, load_model
from actors.cli.json_values import json_line
from actors.cli.program_end import exit_code_of
from actors.cli.rebuild_wait import is_rebuilt
from actors.cli.store_directory import require_store
from actors.cli.store_work import opened_for_work
from actors.domain.read_model import ReadModel
from actors.health import Rebuild
from actors.system.system import System

__all__ = ["main"]

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
    add_domain(parser)
    parser.add_argument(
        "--replicas", type=positive, metavar="N", help="read replicas (default: as many as the store has)"
    )
    add_archives_path(parser)
    parser.add_argument("--json", action="store_true", help="a JSON document a line")
    options = parser.parse_args(arguments)

    def rebuild() -> None:
        domain, model = load_model(options.domain, options.model)
        require_store(options.store)
        began = time.monotonic()
        with opened_for_work(
            options.store, domain, options.replicas, archives_path=options.archives_path
        ) as system:
            _rebuild(system, model, began, options.json)

    return exit_code_of(
        rebuild, "it goes on from where it is when the store is opened again, by this or a System"
    )


def _rebuild(system: System, model: ReadModel, began: float, as_json: bool) -> None:
    name = model.name
    system.rebuild(model)
    while not is_rebuilt(system, model):
        for one in system.rebuilds():
            if one.model == name and one.state == "building":
                print(json_line({"rebuild": one}) if as_json else _line(one), flush=True)
    system.wait_applied(timeout=60.0)
    seconds = time.monotonic() - began
    health = system.health()
    events = sum(replica.events_applied for replica in health.replicas)
    versions = [one.version for replica in health.replicas for one in replica.models if one.name == name]
    version, replicas = versions[0], len(versions)
    if as_json:
        document = {
            "rebuilt": name,
            "version": version,
            "replicas": replicas,
            "position": system.position,
            "events_applied": events,
            "seconds": seconds,
        }
        print(json_line(document), flush=True)
        return
    print(
        f"{name} version {version} is rebuilt on {replicas} replica{'s' if replicas > 1 else ''} up to "
        "position "
        f"{system.position:,}: {events:,} events applied in {seconds:.1f} s, "
        f"{events / max(seconds, 1e-9):,.0f} a second",
        flush=True,
    )


def _line(one: Rebuild) -> str:
    rate = "" if one.events_per_second is None else f", {one.events_per_second:,.0f} events a second"
    left = "" if one.seconds_left is None else f", {one.seconds_left:,.0f} s left"
    share = 100 * one.position // max(one.head, 1)
    return f"{one.replica}: {one.position:,} of {one.head:,} events ({share} %){rate}{left}"
