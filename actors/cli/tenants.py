"""`onewriter tenants FOLDER`: lists the stores of a `Systems`, or moves one away. Main thread."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.errors import describe
from actors.cli.exit_codes import BAD_USE, DONE, FAILED
from actors.cli.json_values import json_line
from actors.errors import InvalidTenantName, UnknownTenant
from actors.tenants.tenant_folder import move_away, tenant_names
from actors.tenants.tenant_name import checked_name
from actors.tenants.wake_ups import WakeUps
from storage import OnewriterError
from storage.files.amounts import size_text
from storage.files.store_lock import holder_of

__all__ = ["main"]

EXAMPLES = (
    ("{program} demo --limit 1000 --path tenants/acme", "make the store of a tenant to try it on"),
    ("{program} tenants tenants", "which tenants there are, and who has them open"),
    ("{program} tenants tenants --json", "for a program"),
    ("{program} tenants tenants --drop acme", "move one away, to tenants/.dropped"),
)
EXIT_CODES = {
    "0": "done",
    "1": "it failed, or a process has the store to drop open; standard error has the reason",
    "2": "the call was wrong, or there is no such folder or tenant",
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """List the tenants, or drop one, and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "tenants",
        "List the tenants of a folder, as Systems has it: the size of each store, who has it open, and when "
        "it is to be opened for a timer. Changes nothing without --drop.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("folder", metavar="FOLDER", help="the folder that Systems was given")
    parser.add_argument(
        "--drop", metavar="NAME", help="move this tenant's store to FOLDER/.dropped; nobody may have it open"
    )
    parser.add_argument("--json", action="store_true", help="a JSON document a line, one for each tenant")
    options = parser.parse_args(arguments)
    folder = Path(options.folder)
    if not folder.is_dir():
        print(f"{folder} is not a folder; give the one that Systems was given", file=sys.stderr)
        return BAD_USE
    try:
        if options.drop is None:
            _show(folder, as_json=options.json)
        else:
            _drop(folder, checked_name(options.drop), as_json=options.json)
    except (InvalidTenantName, UnknownTenant) as error:
        print(error, file=sys.stderr)
        return BAD_USE
    except (OnewriterError, OSError) as error:
        print(describe(error), file=sys.stderr)
        return FAILED
    return DONE


def _drop(folder: Path, name: str, *, as_json: bool) -> None:
    target = move_away(folder, name)
    WakeUps(folder).note(name, None)
    print(json_line({"dropped": {"name": name, "path": target}}) if as_json else f"{name} is now {target}")


def _show(folder: Path, *, as_json: bool) -> None:
    wake_ups = WakeUps(folder)
    for name in tenant_names(folder):
        path, due = folder / name, _due(wake_ups.due_at(name))
        size, holder = _bytes_of(path), holder_of(path)
        if as_json:
            found = {"name": name, "path": os.fspath(path), "bytes": size, "open": holder, "due": due}
            print(json_line({"tenant": found}), flush=True)
            continue
        state = holder or ("closed" if due is None else f"closed, to be opened for a timer: {due}")
        print(f"{name}  {size_text(size)}  {state}", flush=True)


def _due(due_us: int | None) -> str | None:
    """When a store is to be opened. It is now if its managers run, or ran when their process died."""
    if due_us is None:
        return None
    return (EPOCH + timedelta(microseconds=due_us)).isoformat() if due_us else "now"


def _bytes_of(path: Path) -> int:
    """What its files take on the disk."""
    return sum(
        (Path(directory) / name).lstat().st_blocks * 512
        for directory, _, names in os.walk(path)
        for name in names
    )


if __name__ == "__main__":
    sys.exit(main())
