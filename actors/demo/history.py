"""The small shopping history that comes with the demo: a file of commands, one JSON array a line, gzipped.

["PlaceOrder", {"order_id": "250301-1", "lines": [["oak-bench", 1]], "placed_at": "2025-03-01T...", ...}]
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

from actors.demo import shop as commands
from actors.demo.shop import OrderLine

COMMANDS = 5_938

# Fields that JSON has no value for: how to write them and how to read them back.
WRITERS: dict[str, Callable[[Any], Any]] = {
    "lines": lambda lines: [[line.sku, line.quantity] for line in lines],
    "placed_at": datetime.isoformat,
    "percent": str,
}
READERS: dict[str, Callable[[Any], Any]] = {
    "lines": lambda lines: tuple(OrderLine(sku, quantity) for sku, quantity in lines),
    "placed_at": datetime.fromisoformat,
    "percent": Decimal,
}


def history(limit: int | None = None) -> Iterator[object]:
    """Yield the history's commands in order, all of them or the first `limit`; reads as it goes."""
    with resources.as_file(resources.files("actors.demo") / "data" / "history.jsonl.gz") as path:
        yield from read_commands(path, limit)


def read_commands(path: Path, limit: int | None = None) -> Iterator[object]:
    """Yield the commands of a file that `write_commands` wrote."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            if number == limit:
                return
            name, written = json.loads(line)
            values = {key: READERS[key](value) if key in READERS else value for key, value in written.items()}
            yield getattr(commands, name)(**values)


def write_commands(path: Path, history: Iterable[Any]) -> int:
    """Write the commands to a file, the same bytes for the same commands; return how many there were."""
    count = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file, gzip.GzipFile("", "wb", compresslevel=9, fileobj=file, mtime=0) as packed:
        for command in history:
            values = ((field.name, getattr(command, field.name)) for field in fields(command))
            written = {name: WRITERS[name](value) if name in WRITERS else value for name, value in values}
            packed.write(
                json.dumps([type(command).__name__, written], separators=(",", ":")).encode() + b"\n"
            )
            count += 1
    return count
