"""`onewriter copy SOURCE TARGET --through MODULE:FUNCTION`: rewrites a log into a new store. Main thread."""

from __future__ import annotations

import inspect
import sys
from argparse import Namespace
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.domain_loading import load_domain
from actors.cli.errors import CommandLineError
from actors.cli.function_loading import load_function
from actors.cli.json_values import json_line
from actors.cli.key_options import add_keys, required_master_key
from actors.cli.left_behind import corrections_left_behind
from actors.cli.program_end import exit_code_of
from actors.cli.progress_lines import ProgressLines
from actors.migration.copied_keys import CopiedKeys
from actors.migration.log_copy import ENDING, LogCopy, Through
from storage import NotAStore
from storage.crypto.master_key import load_master_key

__all__ = ["main"]

EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    ("{program} copy shop private --through actors.demo.anonymous:anonymous", "no customer by name"),
    (
        "{program} copy shop small --through actors.demo.anonymous:without_carts --json",
        "without the carts' streams",
    ),
    ("{program} positions small 1000 1001", "where two events of the original are in the copy"),
)
EXIT_CODES = {
    "0": "the copy is complete, and was verified",
    "1": "it failed; standard error has the reason, and there is no new store yet",
    "2": "the call was wrong, there is no such store or function, or something is at TARGET already",
    "130": "interrupted; the same call goes on where it was",
}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Copy a store and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "copy",
        "Copy a store, and give every event to a function: it returns the event, changed or not, several "
        "events, or None for none. Commands stay known by their ids, and consumers, process managers and "
        "timers continue where they were, so nothing is sent again. Records of corrections are left behind. "
        "The copy has a history of its own. It is read back before it is there. A copy that was interrupted, "
        "or killed, goes on with the same call. No process may have the original open.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("source", metavar="SOURCE", help="the store's directory")
    parser.add_argument("target", metavar="TARGET", help="the directory of the new store; there is none yet")
    parser.add_argument(
        "--through",
        required=True,
        metavar="MODULE:FUNCTION",
        help="called with each event, as docs/migrations.md says",
    )
    parser.add_argument(
        "--domain",
        metavar="DOMAIN",
        help="encrypt the personal fields of this domain: module:attribute; the function sees what they hold",
    )
    add_keys(parser)
    parser.add_argument("--json", action="store_true", help="the report and the progress as JSON")
    options = parser.parse_args(arguments)
    progress = ProgressLines("copied", options.json)

    def make() -> None:
        through, code = _load(options.through)
        keys = _keys(options)
        code += f" {options.domain}" if options.domain else ""
        copy = LogCopy(options.source, options.target, through, options.through, code, progress, keys)
        copy.run()
        _report(copy, progress.seconds, options.json)

    return exit_code_of(make, f"the same call goes on from what is in {options.target}{ENDING}", (NotAStore,))


def _load(where: str) -> tuple[Through, str]:
    """The function, and a digest of its module's file. Raises CommandLineError."""
    found = load_function("--through", where)
    file = inspect.getsourcefile(sys.modules[where.partition(":")[0]])
    code = b"" if file is None else Path(file).read_bytes()
    return found, blake2b(code, digest_size=8).hexdigest()


def _keys(options: Namespace) -> CopiedKeys | None:
    """The keys of personal fields, if a domain is given. Raises CommandLineError, KeysUnavailable."""
    if options.domain is None:
        return None
    domain = load_domain(options.domain).compile()
    if not domain.codec.personal:
        raise CommandLineError(f"domain {domain.name!r} has no personal fields; leave --domain out")
    master = load_master_key(required_master_key(options))
    return CopiedKeys(domain, master, options.keys_path)


def _report(copy: LogCopy, seconds: float, as_json: bool) -> None:
    state = copy.state
    types = sorted({*state.types_in, *state.types_out})
    if as_json:
        document = {
            "copied": state.head,
            "events": copy.events,
            "dropped": state.dropped,
            "split": state.split,
            "types": {name: {"in": state.types_in[name], "out": state.types_out[name]} for name in types},
            "commands": copy.commands,
            "notes": copy.notes,
            "corrections_left_out": copy.corrections,
            "resumed_at": copy.resumed_at,
            "digest": state.digest.hex(),
            "history_id": copy.history_id,
            "seconds": seconds,
        }
        print(json_line(document), flush=True)
        return
    width = max((len(name) for name in types), default=0)
    for name in types:
        print(f"{name.ljust(width)}  {state.types_in[name]:>12,} -> {state.types_out[name]:>12,}")
    gone = f"; resumed at position {copy.resumed_at:,}" if copy.resumed_at else ""
    print(
        f"{state.head:,} events were copied as {copy.events:,} ({state.dropped:,} dropped, {state.split:,} "
        f"split), with {copy.commands:,} commands and {copy.notes:,} notes, in {seconds:.1f} s; read back "
        f"with digest {state.digest.hex()}{gone}",
        flush=True,
    )
    if copy.corrections:
        print(corrections_left_behind(copy.corrections), flush=True)
