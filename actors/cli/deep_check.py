"""Compares each replica of a closed store with one that is filled from its log, row by row. Main thread.

The log is read, and the new replica is in a temporary folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from actors.cli.domain_loading import load_domain
from actors.cli.temporary_directory import temporary_directory
from actors.cli.verify_files import Found, Look
from actors.replication.replicas_folder import REPLICAS
from actors.runtime.personal_keys import master_key_of
from actors.system.system import System
from storage import OnewriterError
from storage.files.environment import DATA_FILE
from storage.log.archive_records import REMOVED
from storage.replica.verification import compare_replicas

__all__ = ["replicas_against_log"]

LONGEST = 7 * 24 * 3600.0
"""Seconds for which the new replica may be filled."""


def replicas_against_log(
    path: Path, domain: str, settings: dict[str, Any]
) -> Iterator[tuple[Path, Look, str]]:
    """Each replica with what compares it. `settings` are for `System.open`.

    Raises CommandLineError for a domain that is not found, KeysUnavailable without the master key of personal
    fields, and what opening raises.
    """
    source = load_domain(domain)
    # Without the key each person would be read as forgotten, and every row about them would differ.
    master_key_of(source.compile(), settings.get("master_key"))
    with temporary_directory("onewriter-verify-") as folder:
        new = os.path.join(folder, "replicas")
        with System.open(path, source, mode="read", replicas=1, replicas_path=new, **settings) as system:
            system.wait_applied(timeout=LONGEST)
            removed = [one.number for one in system.archives() if one.state == REMOVED]
        [filled] = Path(new).glob("replica-*")
        for replica in sorted(path.glob(f"{REPLICAS}/*")):
            if (replica / DATA_FILE).is_file():
                advice = f"delete {replica}: it is filled from the log again"
                look: Look = partial(_compared, filled=filled)
                if removed:
                    look = partial(_not_compared, archives=removed)
                yield replica / DATA_FILE, look, advice


def _not_compared(_file: Path, archives: list[int]) -> Found:
    """A replica may show events that the log does not have any more."""
    numbers = ", ".join(map(str, archives))
    return Found(
        [],
        remarks=[
            f"its rows were not compared with the log, which lacks the events of removed archives: {numbers}"
        ],
    )


def _compared(file: Path, filled: Path) -> Found:
    try:
        models = compare_replicas(file.parent, filled)
    except OnewriterError as error:
        return Found([str(error)])
    found = Found([finding for one in models for finding in one.findings])
    found.rows = sum(one.rows or 0 for one in models)
    found.remarks = [
        f"model {one.model!r} was not compared: "
        + ("it is kept in memory" if one.engine == "memory" else "it is behind the log, or of other code")
        for one in models
        if one.rows is None and not one.findings
    ]
    return found
