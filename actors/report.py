"""Making the health report from what the parts show of themselves. The caller's thread; takes no locks for long."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from actors.health import (
    ActorHealth,
    CacheHealth,
    Health,
    ModelHealth,
    ProcessHealth,
    ReplicaHealth,
    WriterHealth,
)
from actors.replicas.rebuilding import rebuilds
from actors.replicas.rebuilds import Rebuild
from actors.supervisor import Child

if TYPE_CHECKING:
    from actors.runtime import Runtime

__all__ = ["report"]

QUERY_LIMIT = 10.0
"""Seconds after which a query that still runs is reported: no caller waits that long unless told to."""


def report(runtime: Runtime) -> Health:
    """How everything is, now."""
    writer = _writer(runtime)
    replicas = tuple(_replica(runtime, name) for name in runtime.stores)
    actors = tuple(_actor(child) for child in runtime.children.values())
    building = rebuilds(runtime)
    processes = runtime.processes.health()
    problems = (
        *_problems(runtime, writer, replicas, actors, building),
        *_process_problems(processes),
        *runtime.consumers.problems(),
    )
    return Health(
        "ok" if not problems else "degraded",
        runtime.path,
        runtime.progress.head,
        writer,
        replicas,
        actors,
        problems,
        building,
        len(runtime.skips),
        _cache(runtime),
        processes,
    )


def _writer(runtime: Runtime) -> WriterHealth:
    desk = runtime.desk
    activity = desk.activity
    busy = None if activity is None else (activity[0], activity[1], round(time.monotonic() - activity[2], 3))
    return WriterHealth(
        desk.commands, desk.refused, desk.batches, len(runtime.writes.mailbox), busy, desk.trouble
    )


def _cache(runtime: Runtime) -> CacheHealth | None:
    if runtime.crew is not None:
        return runtime.crew.cache()
    return None if runtime.cache is None else runtime.cache.health()


def _replica(runtime: Runtime, name: str) -> ReplicaHealth:
    head = runtime.progress.head
    home = runtime.homes[name]
    projector = home.projector
    entries = runtime.progress.replicas[name]
    frozen = {one.name for one in projector.frozen}
    models = []
    for model, entry in entries.items():
        version, _, failure = projector.serving(model)
        applied = entry.applied
        models.append(
            ModelHealth(
                model,
                version,
                applied,
                max(head - applied, 0),
                None if failure is None else failure.position,
                None
                if failure is None
                else f"event {failure.type} at position {failure.position}: {failure.text}",
                failure is not None and failure.full,
                model in frozen,
            )
        )
    worst = min((model.applied for model in models), default=head)
    stats = [desk.stats for desk in runtime.query_desks if desk.replica == name]
    return ReplicaHealth(
        name,
        max(head - worst, 0),
        round(runtime.progress.lag_seconds(worst), 6),
        tuple(models),
        sum(one.served for one in stats),
        sum(one.failed for one in stats),
        projector.applied_events,
        home.reason or home.store.reset_reason,
        any(entry.applied < entry.floor for entry in entries.values()),
    )


def _actor(child: Child) -> ActorHealth:
    return ActorHealth(
        child.name, child.alive, max(child.starts - 1, 0), len(child.mailbox), child.last_error
    )


def _problems(
    runtime: Runtime,
    writer: WriterHealth,
    replicas: tuple[ReplicaHealth, ...],
    actors: tuple[ActorHealth, ...],
    building: tuple[Rebuild, ...],
) -> list[str]:
    found = [f"actor {one.name} is down: {one.last_error}" for one in actors if not one.alive]
    if runtime.upkeep.log_gone is not None:
        found.append(runtime.upkeep.log_gone)
    if writer.busy_with is not None and writer.busy_with[2] > runtime.settings.decider_limit:
        command, stream, seconds = writer.busy_with
        found.append(
            f"{command} on stream {stream!r} has been deciding for {seconds:.1f} s; nothing else is handled"
        )
    if writer.trouble is not None:
        found.append(f"the last commit failed: {writer.trouble}")
    for desk in runtime.query_desks:
        activity = desk.stats.activity
        if activity is not None and time.monotonic() - activity[1] > QUERY_LIMIT:
            found.append(
                f"query {activity[0]} has been running on {desk.name} for more than {QUERY_LIMIT:g} s"
            )
    for one in building:
        if one.failure is not None:
            found.append(
                f"the rebuild of model {one.model} on {one.replica} is stopped after position {one.position}"
            )
    for replica in replicas:
        if runtime.crew is not None and not runtime.crew.stations[replica.name].ready:
            found.append(f"{replica.name} has no worker process at present: one is being started")
        elif replica.left_out:
            found.append(f"{replica.name} is being filled again from the log: {replica.reset_reason}")
        for model in replica.models:
            if model.stopped_at is not None:
                why = ": its disk or its map is full" if model.full else ""
                found.append(
                    f"model {model.name} on {replica.name} is stopped at position {model.stopped_at}{why}"
                )
    return found


def _process_problems(processes: Iterable[ProcessHealth]) -> Iterator[str]:
    for one in processes:
        if one.stopped_at is not None:
            yield f"process manager {one.name} is stopped at {one.stopped_at}"
        if one.trouble is not None:
            yield f"process manager {one.name} tries a step again: {one.trouble}"
        if one.quarantined:
            more = ", ..." if one.quarantined > len(one.quarantine) else ""
            plural = "s" * (one.quarantined != 1)
            yield (
                f"process manager {one.name} has set aside {one.quarantined} instance{plural}: "
                f"{', '.join(one.quarantine)}{more}"
            )
        if one.parked:
            yield f"process manager {one.name} has {one.parked} parked effects"
