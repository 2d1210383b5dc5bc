"""Building the health report from what the parts show. The caller's thread; holds no lock for long."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from actors.health import (
    Activity,
    ActorHealth,
    Health,
    ModelHealth,
    ProcessManagerHealth,
    Rebuild,
    ReplicaHealth,
    WriterHealth,
)
from actors.kernel.supervisor import ActorSlot
from actors.replication.command_batches import DAMAGED, MISSING
from actors.replication.lag import counted
from actors.runtime.monitor import Monitor
from actors.runtime.parts import Parts
from actors.runtime.rebuilds import Rebuilds
from storage import ArchiveUnavailable, DamagedStore

__all__ = ["build_health"]


def build_health(parts: Parts, monitor: Monitor, rebuilds: Rebuilds) -> Health:
    """How everything is, now."""
    writer = _writer(parts)
    replicas = tuple(_replica(parts, monitor, name) for name in parts.replicas.slots)
    actors = tuple(_actor(one) for one in parts.actors.values())
    building = rebuilds.all()
    processes = parts.process_managers.health()
    running = monitor.running()
    problems = (
        *_problems(parts, writer, replicas, actors, building),
        *_hanging(parts, monitor, running),
        *_lagging(parts, monitor, replicas, running),
        *_process_problems(parts, monitor, processes),
        *parts.consumers.problems(),
        *parts.marks.problems(),
        *_copy_problems(parts),
    )
    return Health(
        "ok" if not problems else "degraded",
        parts.path,
        parts.progress.head,
        writer,
        replicas,
        actors,
        problems,
        building,
        len(parts.skips),
        parts.replicas.cache_health(),
        processes,
        running,
        parts.settings.mode,
        parts.process_managers.off_because(),
        (*parts.changed_code.warnings(), *parts.room.warnings(), *_personal_warnings(parts)),
        parts.copied,
        None if parts.copy is None else parts.copy.health(parts.progress.head),
    )


def _copy_problems(parts: Parts) -> list[str]:
    problem = None if parts.copy is None else parts.copy.problem(parts.progress.head)
    return [] if problem is None else [problem]


def _personal_warnings(parts: Parts) -> list[str]:
    """What of a person is stored though it is, or seems to be, forgotten."""
    found = [
        f"values of the personal field {one} that were stored before it became personal are not encrypted, "
        "and are not forgotten with anybody; `onewriter copy --domain` makes a store in which they are"
        for one in parts.plain
    ]
    sealer = parts.domain.codec.sealer
    waiting = [] if sealer is None else sealer.destroying()
    if waiting:
        found.append(
            f"{len(waiting)} subjects are being forgotten, and are not everywhere yet; if that does not end, "
            "forget them again, or open the store again"
        )
    return found + [
        f"inline model {one} shows what was forgotten until the store is opened again"
        for one in parts.log.outdated_inline_models()
    ]


def _writer(parts: Parts) -> WriterHealth:
    writer = parts.writer
    activity = writer.activity
    busy = None if activity is None else (activity[0], activity[1], round(time.monotonic() - activity[2], 3))
    return WriterHealth(
        writer.commands,
        writer.refused,
        writer.batches,
        len(parts.command_client.mailbox),
        busy,
        writer.trouble,
        None if parts.pace is None else parts.pace.health(),
    )


def _replica(parts: Parts, monitor: Monitor, name: str) -> ReplicaHealth:
    head = parts.progress.head
    slot = parts.replicas.slots[name]
    projector = slot.projector
    entries = parts.progress.replicas[name]
    frozen = {one.name for one in projector.frozen}
    models = []
    for model in entries:
        version, _, failure = projector.serving(model)
        lag = monitor.lag(name, model)
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
    stats = [endpoint.stats for endpoint in parts.replicas.endpoints if endpoint.replica == name]
    return ReplicaHealth(
        name,
        max(head - worst, 0),
        round(parts.progress.lag_seconds(worst), 6),
        tuple(models),
        sum(one.served for one in stats),
        sum(one.failed for one in stats),
        projector.applied_events,
        slot.reset_reason,
        any(entry.applied < entry.floor for entry in entries.values()),
        parts.replicas.pid(name),
        parts.progress.leader == name,
    )


def _actor(slot: ActorSlot) -> ActorHealth:
    return ActorHealth(slot.name, slot.alive, max(slot.starts - 1, 0), len(slot.mailbox), slot.last_error)


def _problems(
    parts: Parts,
    writer: WriterHealth,
    replicas: tuple[ReplicaHealth, ...],
    actors: tuple[ActorHealth, ...],
    building: tuple[Rebuild, ...],
) -> list[str]:
    found = [f"actor {one.name} is down: {one.last_error}" for one in actors if not one.alive]
    found += parts.log_file.problems()
    found += parts.room.problems()
    found += parts.log.unavailable_archives()
    if parts.copied is not None and parts.settings.managers is None:
        found.append(
            "the store is a copy, so no process manager runs and no consumer delivers until it is adopted: "
            f"{parts.copied}"
        )
    held = writer.held_back
    if held is not None and held.seconds > parts.settings.lag_limit:
        found.append(
            f"callers have been held back for {held.seconds:.1f} s: model {held.model} on {held.replica} is "
            f"{counted(held.behind)} behind, and max_lag_before_wait is {parts.settings.max_lag_before_wait}"
        )
    if writer.trouble is not None:
        found.append(f"the last commit failed: {writer.trouble}")
    for one in building:
        if one.failure is not None:
            found.append(
                f"the rebuild of model {one.model} on {one.replica} is stopped after position {one.position}"
            )
    for name, slot in parts.replicas.slots.items():
        found += [
            f"model {model} on {name} has had other rows than on other replicas since position {at} or "
            "before, and could not be copied from them: its projections are not deterministic, or were "
            "changed without a new version; rebuild it"
            for model, at in slot.projector.differing.items()
        ]
    for replica in replicas:
        problem = parts.replicas.problem(replica.name)
        if problem is not None:
            found.append(problem)
        elif replica.excluded:
            found.append(f"{replica.name} is being filled again from the log: {replica.reset_reason}")
        for model in replica.models:
            if model.stopped_at is not None:
                found.append(
                    f"model {model.name} on {replica.name} is stopped at position {model.stopped_at}"
                    f"{_why_stopped(model)}"
                )
    return found


def _why_stopped(model: ModelHealth) -> str:
    """Why a model is stopped, as the end of a sentence, if it is for what is no fault of its projections."""
    if model.full:
        return ": its disk or its map is full"
    for type_, error in ((DAMAGED, DamagedStore), (MISSING, ArchiveUnavailable)):
        if model.failure is not None and model.failure.startswith(f"event {type_} "):
            return f": {model.failure.rstrip().rpartition(f'{error.__name__}: ')[2]}"
    return ""


def _hanging(parts: Parts, monitor: Monitor, running: Iterable[Activity]) -> Iterator[str]:
    """What has been running for longer than it may."""
    settings = parts.settings
    unwatched = monitor.unwatched()
    if unwatched > settings.busy_limit:
        yield (
            f"the supervisor has not looked after the system for {unwatched:.1f} s: "
            "what is said here may be old"
        )
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
    parts: Parts, monitor: Monitor, replicas: Iterable[ReplicaHealth], running: Iterable[Activity]
) -> Iterator[str]:
    """The models that are too far behind, but for those that are named already as what they are."""
    limit = parts.settings.lag_limit
    named = {
        one.name for one in running if one.kind == "projection" and one.seconds > parts.settings.busy_limit
    }
    for replica in replicas:
        if parts.replicas.problem(replica.name) is not None:
            continue
        for model in replica.models:
            if model.lag_seconds <= limit or model.stopped_at is not None:
                continue
            if f"{model.name} on {replica.name}" not in named:
                yield f"model {model.name} on {replica.name} is {monitor.lag_text(replica.name, model.name)}"


def _process_problems(
    parts: Parts, monitor: Monitor, processes: Iterable[ProcessManagerHealth]
) -> Iterator[str]:
    off = parts.process_managers.off_because() is not None
    for one in processes:
        if off:
            # They do not move, as they were told; `managers_off` says so.
            continue
        if one.lag_seconds > parts.settings.lag_limit and one.stopped_at is None and one.trouble is None:
            lag = monitor.lag_of_process(one.name, one.position)
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
