"""`onewriter export STORE [FILE]`: a log as lines of JSON, also while another process writes. Main thread."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from actors.cli.archive_options import add_archives_path
from actors.cli.command_parser import PROGRAM, CommandParser, positive
from actors.cli.domain_loading import SHORT, load_domain
from actors.cli.errors import CommandLineError, describe
from actors.cli.exit_codes import BAD_USE, DONE, FAILED
from actors.cli.json_values import json_line
from actors.cli.key_options import add_keys
from actors.cli.left_behind import corrections_left_behind
from actors.cli.progress_lines import ProgressLines
from actors.cli.store_directory import require_store
from actors.runtime.personal_keys import master_key_of, open_keys
from storage import Codec, OnewriterError
from storage.files.error_translation import from_system
from storage.files.opening_resources import OpeningResources, sync_directory
from storage.files.page_check import DEFAULT_VERIFY_BYTES
from storage.log.log_follower import LogFollower
from storage.transfer.export import Export, Selection

__all__ = ["main"]

EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    ("{program} export shop shop.jsonl", "all of it, for {program} import"),
    ("{program} export shop --type OrderPlaced | head -3", "a few events, to look at"),
    (
        "{program} export shop orders.jsonl --domain shop --from 1000 --json",
        "through the classes of a domain",
    ),
)
EXIT_CODES = {
    "0": "done; events that can't be decoded are in the export, and counted",
    "1": "it failed, such as on a full disk; standard error has the reason",
    "2": "the call was wrong, or there is no such store",
    "130": "interrupted",
}
STANDARD_OUTPUT = "-"


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Export a store and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "export",
        "Write the log of a store as lines of JSON, an event a line; docs/migrations.md has the format. The "
        "store may be in use: it is read, and never opened for writing. Events are written as they are "
        "stored, whether their classes still exist or not. An export without options that choose events can "
        "be imported.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("store", metavar="STORE", help="the store's directory")
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        default=STANDARD_OUTPUT,
        help="where to write; it appears when it is complete (default: -, standard output)",
    )
    parser.add_argument(
        "--domain",
        metavar="MODULE:ATTRIBUTE",
        help=f"read the events through the classes of a domain ({' or '.join(SHORT)} for those of the demo); "
        "what they can't read is written as it is stored, with the reason. Personal fields are decrypted if "
        "there is a master key, and else written as if everybody had been forgotten",
    )
    add_keys(parser)
    add_archives_path(parser)
    parser.add_argument(
        "--from", dest="first", type=positive, default=1, metavar="POSITION", help="begin there"
    )
    parser.add_argument("--type", action="append", default=[], metavar="T", help="of this type; repeatable")
    parser.add_argument(
        "--stream", action="append", default=[], metavar="S", help="of this stream; repeatable"
    )
    parser.add_argument("--json", action="store_true", help="the report and the progress as JSON, too")
    options = parser.parse_args(arguments)
    try:
        domain = None if options.domain is None else load_domain(options.domain).compile()
        codec = None if domain is None else domain.codec
        require_store(options.store)
    except CommandLineError as error:
        print(error, file=sys.stderr)
        return BAD_USE
    selection = Selection(options.first, frozenset(options.type), frozenset(options.stream))
    progress = ProgressLines("exported", options.json)
    resources = OpeningResources()
    try:
        with LogFollower.open(
            options.store,
            codec or Codec(),
            verify_bytes=DEFAULT_VERIFY_BYTES,
            archives_path=options.archives_path,
        ) as log:
            if domain is not None:
                master = master_key_of(domain, options.master_key, reading=True)
                open_keys(log, domain, options.keys_path, master, resources)
            export = Export(log, selection, codec, lambda position: progress(position, log.head))
            _write(options.file, export.lines())
    except OnewriterError as error:
        print(describe(error), file=sys.stderr)
        return FAILED
    finally:
        resources.release()
    _report(export, options.file, options.json)
    return DONE


def _write(name: str, lines: Iterable[str]) -> None:
    """Write lines of UTF-8 to a file, or to standard output. Raises StorageError, for the output OSError."""
    if name == STANDARD_OUTPUT:
        for line in lines:
            sys.stdout.buffer.write(line.encode())
        sys.stdout.buffer.flush()
        return
    path = Path(os.path.realpath(name))
    # A pipe or a device is written as it is; of a file, the old one stays until the new one is complete.
    partial = path.with_name(f"{path.name}.partial") if _is_plain(path) else path
    try:
        with open(partial, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)
            file.flush()
            if partial is not path:
                os.fsync(file.fileno())
        if partial is not path:
            os.replace(partial, path)
            sync_directory(path.parent)
    except BaseException as error:
        if partial is not path:
            with suppress(OSError):
                partial.unlink()
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            raise from_system(error, f"{name} cannot be written", path) from error
        raise


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return True


def _report(export: Export, file: str, as_json: bool) -> None:
    output = sys.stderr if file == STANDARD_OUTPUT else sys.stdout
    if as_json:
        document = {
            "exported": export.events,
            "head": export.log.head,
            "undecodable": export.undecodable,
            "commands": export.commands,
            "notes": export.notes,
            "corrections_left_out": export.corrections,
            "types": dict(sorted(export.types.items())),
            "digest": export.digest,
        }
        print(json_line(document), file=output, flush=True)
        return
    unread = f", {export.undecodable:,} of them undecodable" if export.undecodable else ""
    print(
        f"exported {export.events:,} events{unread}, of a log of {export.log.head:,}; digest {export.digest}",
        file=output,
        flush=True,
    )
    if export.corrections:
        print(corrections_left_behind(export.corrections), file=output, flush=True)
