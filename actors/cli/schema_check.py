"""`onewriter schema check FILE|STORE --domain D`: whether code reads what other code wrote. Main thread."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace

from actors.cli.command_parser import PROGRAM, CommandParser, positive
from actors.cli.domain_loading import add_domain, load_code
from actors.cli.errors import CommandLineError, describe
from actors.cli.json_values import json_line
from actors.cli.progress_lines import ProgressLines
from actors.cli.schema_diff import show_comparison
from actors.cli.schema_file import load_schema
from actors.cli.store_directory import is_store
from actors.domain.specs import CompiledDomain
from actors.errors import DomainError
from actors.process_managers.leftovers import Leftovers
from actors.schema.comparison import compare, without_a_store
from actors.schema.opening import Code, check_store
from actors.schema.trial import Trial
from storage import OnewriterError
from storage.files.page_check import DEFAULT_VERIFY_BYTES
from storage.log.log_follower import LogFollower

__all__ = ["main"]

READABLE, UNREADABLE, BAD_USE = 0, 1, 2
EXAMPLES = (
    ("{program} schema show shop --json > shop.schema.json", "commit the file beside the code"),
    ("{program} schema check shop.schema.json --domain shop", "a gate before the code is merged"),
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    ("{program} schema check shop --domain shop", "read every event of it through the code"),
    ("{program} schema check shop --domain shop --sample 500 --json", "some of them, for a program"),
)
EXIT_CODES = {
    "0": "the domain reads all of it",
    "1": "it can't read something, which no upcaster covers",
    "2": "the call was wrong, the domain has mistakes, or the store can't be read",
    "130": "interrupted",
}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Check and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "schema check",
        "Say whether a domain reads what the code that made a file would have written, or what is in a "
        "store. Of a store, the events are decoded, upcasters run, and the types of fields are checked. It "
        "may be in use: it is read, and never opened for writing.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument(
        "subject",
        metavar="FILE|STORE",
        help="a file made by schema show DOMAIN --json, or a store's directory",
    )
    add_domain(parser)
    parser.add_argument(
        "--sample", type=positive, metavar="N", help="read N events of a store, evenly spaced (default: all)"
    )
    parser.add_argument("--json", action="store_true", help="a JSON document a line")
    options = parser.parse_args(arguments)
    try:
        domain, code = load_code(options.domain)
        if is_store(options.subject):
            return _check_store(options.subject, domain, code, options.sample, options.json)
        if os.path.isdir(options.subject):
            raise CommandLineError(f"{options.subject} is not a store, and not a file with a schema")
        return _check_file(options.subject, code, options.json)
    except (CommandLineError, DomainError) as error:
        print(error, file=sys.stderr)
        return BAD_USE
    except OnewriterError as error:
        print(describe(error), file=sys.stderr)
        return BAD_USE


def _check_file(path: str, code: Code, as_json: bool) -> int:
    old = load_schema(path)
    found = without_a_store(compare(old, code.schema, code.locations, code.readable), old, code.schema)
    broken = found.mismatches
    show_comparison(replace(found, additions=[]), as_json)
    if as_json:
        print(json_line({"checked": path, "unreadable": len(broken)}))
    elif broken:
        count = "a change" if len(broken) == 1 else f"{len(broken)} changes"
        print(f"domain {code.schema.domain} can't read what {path} stands for: {count} without an upcaster")
    else:
        print(f"domain {code.schema.domain} reads what {path} stands for")
    return UNREADABLE if broken else READABLE


def _check_store(path: str, domain: CompiledDomain, code: Code, sample: int | None, as_json: bool) -> int:
    progress = ProgressLines("checked", as_json)
    with LogFollower.open(path, domain.codec, verify_bytes=DEFAULT_VERIFY_BYTES) as log:
        log.advance(log.committed_head())
        problems: Sequence[str] = ()
        try:
            check_store(path, code, lambda: Leftovers(domain), (), log)
        except DomainError as error:
            problems = error.problems
        trial = Trial(log, domain)
        trial.run(sample, progress)
        head = log.head
    for text in problems:
        print(json_line({"unreadable": text}) if as_json else f"! {text}")
    for name, result in sorted(trial.types.items()):
        if as_json:
            print(json_line({"type": name, **asdict(result)}))
            continue
        line = f"{name}: {result.events:,} event{'s' * (result.events != 1)}"
        if result.failed:
            line += f", {result.failed:,} can't be read, first at position {result.first:,}: {result.error}"
        print(line)
    if as_json:
        document = {
            "checked": path,
            "events": trial.events,
            "head": head,
            "failed": trial.failed,
            "unreadable": len(problems),
            "seconds": progress.seconds,
        }
        print(json_line(document))
    else:
        rate = trial.events / max(progress.seconds, 1e-9)
        bad = f"{trial.failed:,} of them can't be read" if trial.failed else "all can be read"
        print(f"{trial.events:,} of {head:,} events read, {rate:,.0f} a second: {bad}")
    return UNREADABLE if problems or trial.failed else READABLE
