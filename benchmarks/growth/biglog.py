"""Long histories, written straight into the log in large batches: millions of events within minutes.

The files are what a `System` would have written: events, stream index and command ids. Replicas
are filled by the next to open the store. Runs in the caller's thread; the store is open nowhere else
meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from actors import Domain, System
from benchmarks.domain import ListProduct, PriceChanged, ProductListed, shop
from benchmarks.peers.base import in_batches
from benchmarks.replay.workload import history
from storage import CommandRecord, EventLog, RecordedEvent

BATCH = 10_000
FILLING_TIMEOUT = 3_600.0

Fact = tuple[str, int, Any, str]
"""Stream, version, event, and the name of the command that it is said to come from."""


def write_log(path: Path, domain: Domain, facts: Iterable[Fact]) -> int:
    """Write a new store's log with one command a fact; returns how many there were."""
    codec = domain.compile().codec
    # Made up as the ids of a System are: in order, so that they too are appended.
    prefix = f"{time.time_ns():032x}-"
    digest = bytes(12)
    position = 0
    with EventLog.open(path, codec, durable=False) as log:
        for batch in in_batches(facts, BATCH):
            now = time.time_ns() // 1_000
            events = []
            commands = []
            for stream, version, event, command in batch:
                position += 1
                command_id = f"{prefix}{position:012x}"
                name = type(event).__name__
                events.append(RecordedEvent(position, stream, version, event, name, now, command_id, command))
                commands.append(CommandRecord(command_id, position, 1, digest, stream, version))
            log.append(events, commands)
    return position


def shop_facts(total: int) -> Iterator[Fact]:
    """The events of `benchmarks.replay`: products are listed, then all of them repriced, again and again."""
    versions: dict[str, int] = {}
    for command in history(total):
        sku = command.sku
        versions[sku] = version = versions.get(sku, 0) + 1
        event = (
            ProductListed(sku, command.name, command.price)
            if isinstance(command, ListProduct)
            else PriceChanged(sku, command.price)
        )
        yield f"product-{sku}", version, event, type(command).__name__


def make_store(path: Path, events: int, replicas: int = 1) -> None:
    """A store of the shop with a log of so many events and its replicas filled, closed again."""
    write_log(path, shop, shop_facts(events))
    with System.open(path, shop, replicas=replicas) as system:
        system.wait_applied(timeout=FILLING_TIMEOUT)
