"""Making the health report from what the parts show of themselves. The caller's thread; takes no locks for long."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from actors.health import (
    Activity,
    ActorHealth,
    CacheHealth,
    Health,
    ModelHealth,
    ProcessManagerHealth,
    Rebuild,
    ReplicaHealth,
    WriterHealth,
)
from actors.kernel.supervisor import ActorSlot
from actors.runtime.rebuilds import rebuilds

if TYPE_CHECKING:
    from actors.runtime.runtime import Runtime

__all__ = ["build_health"]


def build_health(runtime: Runtime) -> Health:
    """How everything is, now."""
    writer = _writer(runtime)
    replicas = tuple(_replica(runtime, name) for name in runtime.stores)
    actors = tuple(_actor(child) for child in runtime.children.values())
    building = rebuilds(runtime)
    processes = runtime.processes.health()
    running = runtime.monitor.running()
    problems = (
        *_problems(runtime, writer, replicas, actors, building),
        *_hanging(runtime, running),
        *_lagging(runtime, replicas, running),
        *_process_problems(runtime, processes),
        *runtime.consumers.problems(),
        *runtime.marks.problems(),
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
        running,
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
    slot = runtime.slots[name]
    projector = slot.projector
    entries = runtime.progress.replicas[name]
    frozen = {one.name for one in projector.frozen}
    models = []
    for model in entries:
        version, _, failure = projector.serving(model)
        lag = runtime.monitor.lag(name, model)
        models.append(
            ModelHealth(
                model,
                version,
                lag.position,
                lag.behind,
                None if failure is None else failure.position,
                None
                if failure is None
                else f"event {failure.type} at position {failure.position}: {failure.text}",
                failure is not None and failure.full,
                model in frozen,
                round(lag.seconds, 6),
                "stopped" if failure is not None else lag.state,
                round(lag.still, 3),
                lag.rate,
            )
        )
    worst = min((model.applied for model in models), default=head)
    stats = [endpoint.stats for endpoint in runtime.query_endpoints if endpoint.replica == name]
    return ReplicaHealth(
        name,
        max(head - worst, 0),
        round(runtime.progress.lag_seconds(worst), 6),
        tuple(models),
        sum(one.served for one in stats),
        sum(one.failed for one in stats),
        projector.applied_events,
        slot.reason or slot.store.reset_reason,
        any(entry.applied < entry.floor for entry in entries.values()),
    )


def _actor(child: ActorSlot) -> ActorHealth:
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
    if runtime.maintenance.log_gone is not None:
        found.append(runtime.maintenance.log_gone)
    if runtime.maintenance.log_moved is not None:
        found.append(runtime.maintenance.log_moved)
    if writer.trouble is not None:
        found.append(f"the last commit failed: {writer.trouble}")
    for one in building:
        if one.failure is not None:
            found.append(
                f"the rebuild of model {one.model} on {one.replica} is stopped after position {one.position}"
            )
    for replica in replicas:
        if runtime.crew is not None and not runtime.crew.workers[replica.name].ready:
            found.append(f"{replica.name} has no worker process at present: one is being started")
        elif runtime.crew is not None and runtime.crew.workers[replica.name].unresponsive:
            found.append(runtime.crew.workers[replica.name].unresponsive_text())
        elif replica.excluded:
            found.append(f"{replica.name} is being filled again from the log: {replica.reset_reason}")
        for model in replica.models:
            if model.stopped_at is not None:
                why = ": its disk or its map is full" if model.full else ""
                found.append(
                    f"model {model.name} on {replica.name} is stopped at position {model.stopped_at}{why}"
                )
    return found


def _hanging(runtime: Runtime, running: Iterable[Activity]) -> Iterator[str]:
    """What has been running for longer than it may."""
    settings = runtime.settings
    unwatched = runtime.monitor.unwatched()
    if unwatched > settings.busy_limit:
        yield f"the supervisor has not looked after the system for {unwatched:.1f} s: what is said here may be old"
    for one in running:
        if one.seconds > (settings.decider_limit if one.kind == "decider" else settings.busy_limit):
            yield _hangs(one)


def _hangs(one: Activity) -> str:
    long = f"{one.seconds:.1f} s"
    if one.kind == "decider":
        return f"{one.name} {one.at} has been deciding for {long}; nothing else is handled"
    if one.kind == "commit":
        return f"a commit has been under way for {long}: the disk does not take it; nothing else is handled"
    if one.kind == "projection" and " on " not in one.name:
        return f"{one.name} has been {one.at} for {long}; it applies nothing else"
    if one.kind == "projection":
        return f"the projection of {one.name} has been {one.at} for {long}; that replica applies nothing else"
    if one.kind == "query":
        return f"query {one.name} has been running {one.at} for {long}"
    return f"{one.kind} {one.name} has been running for {long}: {one.at}"


def _lagging(
    runtime: Runtime, replicas: Iterable[ReplicaHealth], running: Iterable[Activity]
) -> Iterator[str]:
    """The models that are too far behind, but for those that are named already as what they are."""
    limit = runtime.settings.lag_limit
    named = {
        one.name for one in running if one.kind == "projection" and one.seconds > runtime.settings.busy_limit
    }
    for replica in replicas:
        crew = runtime.crew
        if crew is not None and (
            not crew.workers[replica.name].ready or crew.workers[replica.name].unresponsive
        ):
            continue
        for model in replica.models:
            if model.lag_seconds <= limit or model.stopped_at is not None:
                continue
            if f"{model.name} on {replica.name}" not in named:
                yield f"model {model.name} on {replica.name} is {runtime.monitor.lag_told(replica.name, model.name)}"


def _process_problems(runtime: Runtime, processes: Iterable[ProcessManagerHealth]) -> Iterator[str]:
    for one in processes:
        if one.lag_seconds > runtime.settings.lag_limit and one.stopped_at is None and one.trouble is None:
            lag = runtime.monitor.lag_of_process(one.name, one.position)
            yield f"process manager {one.name} is {lag.text}"
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
            waits = "waits" if one.blocked == 1 else "wait"
            those = "it" if one.parked == 1 else "those"
            behind = f", and {one.blocked} that {waits} behind {those}" if one.blocked else ""
            plural = "s" * (one.parked != 1)
            yield f"process manager {one.name} has {one.parked} parked effect{plural}{behind}"
