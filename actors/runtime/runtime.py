"""A running system: its parts put together, its actors started, and all of it stopped and closed in order.

Callers' threads only.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from actors.domain.domain import Domain
from actors.domain.specs import CompiledDomain
from actors.errors import CommitUncertain, ConsistencyTimeout, ModelStopped, SystemClosed
from actors.health import Health
from actors.kernel.delivery_marks import MARKS_FILE, DeliveryMarks, owner_of
from actors.kernel.late_import import late_import
from actors.kernel.mailbox import Mailbox
from actors.kernel.running_calls import RunningCalls
from actors.kernel.supervisor import ActorSlot, Supervisor
from actors.kernel.thread_pool import ThreadPool
from actors.process_managers.no_process_managers import NoProcessManagers
from actors.queries.replica_host import ReplicaHost
from actors.queries.view_registry import ViewRegistry
from actors.replication.listeners import Listeners
from actors.replication.log_poller import CommittedElsewhere
from actors.replication.placement import check_queries, place_models
from actors.replication.replicas_folder import REPLICAS
from actors.replication.skipped_events import SkippedEvents
from actors.runtime.actor_tree import POLLER, WRITER, build_actors
from actors.runtime.archive_moves import ArchiveMoves
from actors.runtime.changed_code import ChangedCode
from actors.runtime.corrections import Corrections
from actors.runtime.forgetting import Forgetting
from actors.runtime.health_report import build_health
from actors.runtime.local_replicas import LocalReplicas
from actors.runtime.log_file_watch import LogFileWatch
from actors.runtime.maintenance import Maintenance
from actors.runtime.monitor import Monitor
from actors.runtime.parts import Parts
from actors.runtime.personal_keys import KEYS_FOLDER, master_key_of, open_keys
from actors.runtime.reading import (
    follow_log,
    opened_for_reading,
    process_managers_off,
    reader_folder,
    unadopted_copy,
)
from actors.runtime.rebuilds import Rebuilds
from actors.runtime.room_watch import RoomWatch
from actors.runtime.store_identity import IDENTITY_FILE, check_identity, note_end
from actors.runtime.writer_pace import WriterPace
from actors.schema.describing import code_of
from actors.schema.description import Schema
from actors.schema.opening import CheckedSchema, ManagerRecords, check_store
from actors.schema.written_types import WrittenTypes
from actors.settings import Settings
from actors.subscriptions.consumer_access import ConsumerAccess
from actors.subscriptions.group_keys import PREFIX, names_of
from actors.writer.command_client import CommandClient
from actors.writer.inline_models import fill
from actors.writer.writer_state import WriterState
from storage import EventLog
from storage.files.opening_resources import OpeningResources
from storage.log.log_follower import LogFollower

if TYPE_CHECKING:
    from actors.subscriptions.consumer_registry import ConsumerRegistry

__all__ = ["Runtime"]

logger = logging.getLogger("onewriter.runtime")

START_TIMEOUT = 30.0
CLOSE_TIMEOUT = 5.0
"""Seconds that the actors of a system that could not be opened have to end."""


class Runtime:
    """One open system. `parts` is what it is made of."""

    def __init__(
        self,
        path: str,
        source: Domain,
        domain: CompiledDomain,
        settings: Settings,
        log: EventLog | LogFollower,
        skips: SkippedEvents,
        sync: Mailbox,
        calls: RunningCalls,
        listeners: Listeners,
        replicas: ReplicaHost,
        resources: OpeningResources,
        schema: Schema,
        checked: CheckedSchema,
        copied: str | None = None,
    ) -> None:
        """For `open`: starts nothing. `copied` is why the store is a copy that does not act on the world."""
        self._resources = resources
        self._stopped = False
        self._pool = ThreadPool("onewriter-middleware")
        progress = replicas.progress
        writer = WriterState(WrittenTypes(schema, checked.written), settings.replication_interval)
        calls.add(writer.callbacks)
        progress.on_wait = writer.notifier.flush_now
        refusal: Callable[[], Exception] | None = None
        managers_off: Callable[[], Exception] | None = None
        elsewhere: CommittedElsewhere | None = None
        if isinstance(log, LogFollower):
            refusal = managers_off = partial(opened_for_reading, path)
            elsewhere = CommittedElsewhere(log, progress, sync.put)
            progress.look = elsewhere.look
        elif copied is not None:
            managers_off = partial(unadopted_copy, path, copied)
        elif settings.managers is False:
            managers_off = partial(process_managers_off, path)
        commands = CommandClient(
            domain,
            log,
            Mailbox(settings.mailbox_size),
            self._pool,
            lambda: writer.activity is not None,
            calls,
            progress,
        )
        if refusal is not None:
            commands.mailbox.close(refusal)
        marks = DeliveryMarks(log.path, lambda: not log.moved(), self._mark_owners)
        managers: ProcessManagers | NoProcessManagers
        if domain.process_managers:
            # Imported here, as it is much that many a domain has no use for; Leftovers below, too.
            from actors.process_managers.registry import ProcessManagers

            managers = ProcessManagers(
                domain, log, commands.steps, progress, calls, settings.busy_limit, marks, managers_off
            )
            listeners.committed.append(managers.wake)
        else:
            managers = NoProcessManagers(log, progress, managers_off)
        consumers_off = refusal or (managers_off if copied else None)

        def make_consumers() -> ConsumerRegistry:
            with late_import("what consumers need"):
                from actors.subscriptions.consumer_registry import ConsumerRegistry

            return ConsumerRegistry(log, progress, commands.steps, calls, marks, consumers_off)

        actors: dict[str, ActorSlot] = {}
        pace = None
        if settings.max_lag_before_wait is not None and refusal is None:
            pace = WriterPace(
                settings.max_lag_before_wait,
                commands.mailbox,
                replicas,
                actors,
                lambda replica, model: self._monitor.lag(replica, model).still,
                settings.busy_limit,
            )
            listeners.committed.append(pace.committed)
            listeners.applied.append(pace.applied)
        copy = None
        if settings.copy_to is not None:
            # Imported here: it is of use for no other program.
            from actors.runtime.continuous_copy import ContinuousCopy

            copy = ContinuousCopy(log, settings, copied, progress.lag_seconds)
        self.parts = Parts(
            path=path,
            source=source,
            domain=domain,
            settings=settings,
            log=log,
            log_file=LogFileWatch(log),
            room=RoomWatch(
                log.path,
                None if refusal is not None else log.usage,
                replicas.stores,
                settings.map_limit,
                settings.disk_limit,
            ),
            pace=pace,
            skips=skips,
            listeners=listeners,
            calls=calls,
            committed_elsewhere=elsewhere,
            writer=writer,
            command_client=commands,
            sync=sync,
            replicas=replicas,
            progress=progress,
            query_dispatcher=replicas.dispatcher,
            views=ViewRegistry(
                domain,
                replicas.dispatcher,
                progress,
                replicas.stores,
                log.inline_snapshot,
                replicas.mark_damaged,
                log.moved,
            ),
            changed_code=ChangedCode(schema, checked.changed, replicas, progress, commands.steps),
            plain=checked.plain,
            process_managers=managers,
            consumers=ConsumerAccess(make_consumers),
            copied=copied,
            marks=marks,
            copy=copy,
            actors=actors,
        )
        self._monitor = Monitor(self.parts)
        if pace is not None:
            pace.update()
        replicas.dispatcher.replicas.why_not = self._monitor.why_not
        self.rebuilds = Rebuilds(self.parts, self._monitor)
        self.corrections = Corrections(self.parts, self.rebuilds)
        self.compacting = threading.Lock()
        """Held by the one call at a time that compacts the log."""
        self.archive_moves = ArchiveMoves(self.parts)
        self._maintenance = Maintenance(self.parts, self._monitor, self.archive_moves)
        self.supervisor = Supervisor("supervisor", actors, self._maintenance.run)
        self.forgetting = Forgetting(self.parts, self.rebuilds, self.supervisor)
        actors.update(build_actors(self.parts, self.supervisor.actor_exited))

    @classmethod
    def open(cls, path: str, source: Domain, settings: Settings, resources: OpeningResources) -> Runtime:
        """Open or make the files and start the actors, noting in `resources` what that acquires.

        Whatever is raised, the caller has `resources` release all of it.
        """
        domain = source.compile()
        domain.codec.max_bytes = settings.max_message_bytes
        placed = place_models(domain.models, settings.replica_names)
        check_queries(domain, placed)
        master = master_key_of(domain, settings.master_key, reading=settings.mode == "read")
        inline = [model.schema for model in domain.models.values() if model.inline]
        code = code_of(source.declarations, domain)
        check = partial(check_store, path, code, partial(_leftovers, domain), settings.accept)
        log: EventLog | LogFollower
        copied = None
        # Until the actors begin, nobody else reads it.
        opened = resources.slot(EventLog.abandon)
        if settings.mode == "read":
            log = follow_log(path, domain.codec, settings, inline, resources)
            open_keys(log, domain, settings.keys_path, master, resources)
            checked = check(log)._replace(changed=frozenset())
            folder = reader_folder(path, settings, resources)
            skips = SkippedEvents.read(log)
        else:
            found: list[CheckedSchema] = []
            opened.resource = log = EventLog.open(
                path,
                domain.codec,
                map_size=settings.map_size,
                siblings=[REPLICAS, MARKS_FILE, IDENTITY_FILE, KEYS_FOLDER],
                verify_bytes=settings.verify_bytes,
                archives_path=settings.archives_path,
                inline=inline,
                check=lambda log: found.append(check(log)),
            )
            [checked] = found
            open_keys(log, domain, settings.keys_path, master, resources)
            if checked.notes:
                log.append([], notes=checked.notes)
            folder = os.path.join(path, REPLICAS)
            copied = check_identity(log, adopt=settings.managers is True)
            if copied is None:
                resources.on_release(partial(note_end, log))
            skips = SkippedEvents.read(log)
            fill(log, domain, skips)
        sync, calls, listeners = Mailbox(), RunningCalls(), Listeners()
        replicas: ReplicaHost
        if settings.workers == "process":
            # Imported here: with replicas in threads, nothing else needs what starts processes.
            from actors.worker_processes.parent.worker_pool import WorkerPool

            replicas = WorkerPool.open(
                path, folder, source, domain, placed, settings, log, calls, listeners, resources
            )
        else:
            replicas = LocalReplicas.open(
                folder, domain, placed, settings, log, skips, sync, calls, listeners, resources
            )
        runtime = cls(
            path,
            source,
            domain,
            settings,
            log,
            skips,
            sync,
            calls,
            listeners,
            replicas,
            resources,
            code.schema,
            checked,
            copied,
        )
        opened.release_with = EventLog.close
        # Ctrl-C comes here, too: no actor may go on with files that are closed.
        resources.on_release(partial(runtime._stop, CLOSE_TIMEOUT))
        runtime._start()
        if settings.mode == "write":
            runtime.forgetting.go_on()
        return runtime

    def _start(self) -> None:
        self.supervisor.begin()
        if not self.supervisor.wait_started(START_TIMEOUT):
            raise SystemClosed(
                f"the actors of {self.parts.path} did not start within {START_TIMEOUT:g} s; see the log"
            )
        if self.parts.copy is not None:
            self.parts.copy.start()

    # -- closing -----------------------------------------------------------------------------
    def waits_for(self, thread: int) -> bool:
        """Whether closing waits for the thread with this identifier, unless that thread asked for it."""
        return self._pool.has(thread) or self.parts.consumers.has(thread)

    def close(self, timeout: float, asker: int) -> None:
        """Stop process managers, the writer or what follows another one, Sync, replicas, query actors and
        supervisor, in that order, then close the files.

        `asker` identifies the thread that waits for this. Interrupted, or without memory, it goes on when it
        is called again.
        """
        self._stop(timeout, asker)
        self._resources.release()

    def _stop(self, timeout: float, asker: int = 0) -> None:
        if self._stopped:
            return
        parts = self.parts
        end = time.monotonic() + timeout
        parts.consumers.close(timeout, asker)
        self.supervisor.stop_starting()
        # An effect's handler may take long outside; the writer needs time, too.
        stuck = self._stop_actors(parts.process_managers.names, end, share=0.25)
        stuck += self._stop_actors([name for name in (WRITER, POLLER) if name in parts.actors], end)
        self._give_up_writer()
        stuck += self._stop_actors(["sync"], end)
        parts.replicas.stop()
        stuck += self._stop_actors(parts.replicas.slots, end, asked=True)
        stuck += self._stop_actors([one.name for one in parts.replicas.endpoints], end)
        parts.process_managers.close()
        parts.marks.close()
        if parts.copy is not None and not parts.copy.close(end - time.monotonic()):
            stuck.append("the continuous copy")
        if stuck:
            logger.error("closing %s: given up within %g s: %s", parts.path, timeout, ", ".join(stuck))
        parts.progress.close()
        self.supervisor.end(max(end - time.monotonic(), 1.0))
        if not self._pool.close(max(end - time.monotonic(), 0.0), asker) and not self._pool.has(asker):
            logger.error(
                "closing %s: middleware after a submit was not done within %g s", parts.path, timeout
            )
        parts.views.expire(-1.0)
        self._stopped = True

    def _stop_actors(
        self, names: Iterable[str], end: float, *, share: float = 1.0, asked: bool = False
    ) -> list[str]:
        """Stop these one after the other, unless they were `asked` already, and refuse what is left in their
        mailboxes.

        Each has this `share` of the time until `end`. Returns those that did not stop.
        """
        stuck = []
        for name in names:
            actor = self.parts.actors[name]
            if actor.alive:
                if not asked:
                    actor.stop()
                if not actor.exited.wait(max((end - time.monotonic()) * share, 0.01)):
                    stuck.append(name)
            actor.mailbox.close(self._refusal)
        return stuck

    def _mark_owners(self) -> set[bytes]:
        """Whose deliveries may be out: the consumers of the store, and the process managers of the domain."""
        log = self.parts.log
        return {
            *(owner_of("consumer", name) for name in names_of(key for key, _ in log.notes(PREFIX))),
            *(owner_of("process manager", name) for name in self.parts.domain.process_managers),
        }

    def _give_up_writer(self) -> None:
        """Answer the commands of a writer that hangs, or that has just died.

        A decider that does not return can't be stopped; what it returns later is not written.
        """
        writer = self.parts.writer
        writer.closing = True
        writer.release_replies()
        deciding = writer.activity is not None
        for submission in list(writer.in_flight):
            submission.settle(self._refusal() if deciding else CommitUncertain(submission.command_id))

    def _refusal(self) -> Exception:
        return SystemClosed(
            f"the system on {self.parts.path} was closed before this was handled; nothing was done"
        )

    def forked(self) -> None:
        """In a forked child: nothing of the parent's may be used. Takes no lock, as a thread that is gone may
        hold it."""
        self.parts.replicas.forked()
        self.parts.views.forked()

    # -- asking ------------------------------------------------------------------------------
    def wait_applied(self, position: int, timeout: float) -> None:
        """Wait until every replica has applied `position`."""
        progress = self.parts.progress

        def done() -> bool:
            return progress.everywhere(position) or progress.closed or progress.any_stopped() is not None

        reached = progress.wait_until(done, timeout)
        stopped = progress.any_stopped()
        if stopped is not None:
            raise ModelStopped(f"model {stopped[1]!r} is stopped on {stopped[0]}: {stopped[2]}")
        if not progress.everywhere(position) and progress.closed:
            raise SystemClosed(
                f"the system on {self.parts.path} was closed before every replica applied {position}"
            )
        if not reached:
            models = list(dict.fromkeys(name for held in progress.replicas.values() for name in held))
            raise ConsistencyTimeout(
                f"not every replica applied position {position} within {timeout:g} s: "
                f"{self._monitor.why_not(models, position)}; give a longer timeout=, or look at health()"
            )

    def health(self) -> Health:
        """How everything is, now."""
        return build_health(self.parts, self._monitor, self.rebuilds)


def _leftovers(domain: CompiledDomain) -> ManagerRecords:
    from actors.process_managers.leftovers import Leftovers

    return Leftovers(domain)
