"""The consumer groups of an open system, by name: opened when first asked for, closed with it. Callers'
threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from actors.errors import CommandTimeout, ConsumerMismatch, SystemClosed, UnknownName
from actors.kernel.actor import refuse_in_actor
from actors.kernel.delivery_marks import DeliveryMarks
from actors.kernel.running_calls import RunningCalls
from actors.replication.progress import Progress
from actors.subscriptions.callback_consumer import CallbackConsumer
from actors.subscriptions.consumer import Consumer
from actors.subscriptions.consumer_group import ConsumerGroup
from actors.subscriptions.consumer_status import (
    ConsumerStatus,
    ParkedStream,
    open_status,
    problems_of,
    stored_status,
)
from actors.subscriptions.delivery_policy import DeliveryPolicy
from actors.subscriptions.delivery_state import StreamBacklog
from actors.subscriptions.event_filter import EventFilter
from actors.subscriptions.group_keys import PREFIX, backlog_key, names_of, prefix_of, state_key
from actors.subscriptions.group_state import GroupState, decode_backlog
from actors.subscriptions.options import ConsumerSpec
from actors.writer.step_client import StepClient
from storage.log.log_reader import LogReader
from storage.log.notes import Note

__all__ = ["ConsumerRegistry"]

TIMEOUT = 30.0
"""Seconds that making or deleting a consumer waits for the disk."""

FLUSH = 5.0
"""Seconds that closing gives the callbacks that run, and then what they acknowledged."""


class ConsumerRegistry:
    """What `System` does for consumers."""

    def __init__(
        self,
        log: LogReader,
        progress: Progress,
        steps: StepClient,
        calls: RunningCalls,
        marks: DeliveryMarks,
        refusal: Callable[[], Exception] | None = None,
    ) -> None:
        """`calls` shows the callbacks that run; in `marks` it is noted what is out.

        With a `refusal` nothing is delivered and nothing stored: what would do that raises it.
        """
        self._refusal = refusal
        self._marks = marks
        self._calls = calls
        self._log = log
        self._progress = progress
        self._steps = steps
        # Held while a group is opened, which may wait for a commit.
        self._lock = threading.RLock()
        self._groups: dict[str, ConsumerGroup] = {}
        self._callbacks: list[CallbackConsumer] = []  # replaced, never changed, so any thread may look
        self._closed = False

    def _write(self, notes: Iterable[Note]) -> Future[Any]:
        # No mailbox is too full for it: a name has one of these on its way at most.
        return self._steps.put_notes(notes)

    # -- opening -----------------------------------------------------------------------------
    def open(self, spec: ConsumerSpec, count: int) -> list[Consumer]:
        """So many consumers of a name, which is made if it is new. Raises `ConsumerMismatch`, and what
        writing does.
        """
        name, policy = spec.name, spec.policy
        with self._lock:
            self._require_open()
            group = self._find(name, policy, spec.wanted)
            if group is None:
                group = self._make(spec)
            self._compare(group, spec)
            if group.policy != policy:
                if group.members():
                    raise ConsumerMismatch(
                        f"consumer {name!r} is open with {group.policy}, and can't be opened with "
                        f"{policy} beside that; "
                        "give all consumers of a name the same"
                    )
                group.set_policy(policy)
            return [Consumer(group, spec.until, spec.timeout) for _ in range(count)]

    def any_open(self) -> bool:
        """Whether a consumer is open, or a callback is called. Any thread."""
        return any(group.members() for group in list(self._groups.values())) or any(
            one.running for one in self._callbacks
        )

    def callbacks(self, callback: Any, consumers: list[Consumer]) -> CallbackConsumer:
        """The callback form; it is closed with the system."""
        with self._lock:
            self._require_open()
            made = CallbackConsumer(callback, consumers, self._calls)
            # One that failed is told of until the name has callbacks again.
            kept = [one for one in self._callbacks if one.running or (one.failure and one.name != made.name)]
            self._callbacks = [*kept, made]
            return made

    def _require_open(self) -> None:
        if self._refusal is not None:
            raise self._refusal()
        if self._closed:
            raise SystemClosed("the system is closed; open it again with System.open")

    def _find(
        self, name: str, policy: DeliveryPolicy, wanted: EventFilter | None = None
    ) -> ConsumerGroup | None:
        """The group of a name; `wanted` takes the place of what is stored under older names of types."""
        group = self._groups.get(name)
        if group is None:
            data = self._log.note(state_key(name))
            if data is None:
                return None
            state = GroupState.decode(name, data)
            if wanted is not None and wanted.covers(state.wanted, self._log.codec):
                state.wanted = wanted
            group = ConsumerGroup(
                name, self._log, self._progress, self._write, state, self._backlogs(name), policy, self._marks
            )
            self._groups[name] = group
        return group

    def _backlogs(self, name: str) -> dict[str, StreamBacklog]:
        prefix = backlog_key(name, "")
        return {
            key[len(prefix) :].decode(): decode_backlog(name, data) for key, data in self._log.notes(prefix)
        }

    def _make(self, spec: ConsumerSpec) -> ConsumerGroup:
        refuse_in_actor("consumer", self._progress)
        name, start = spec.name, "beginning" if spec.start is None else spec.start
        through = start if isinstance(start, int) else {"beginning": 0, "now": self._progress.head}[start]
        state = GroupState(spec.wanted, start, through, [])
        # Known from now on, however soon the process ends: "now" is this moment.
        self._finish(self._write([(state_key(name), state.encode())]), f"making consumer {name!r}")
        group = ConsumerGroup(
            name, self._log, self._progress, self._write, state, {}, spec.policy, self._marks
        )
        self._groups[name] = group
        return group

    @staticmethod
    def _compare(group: ConsumerGroup, spec: ConsumerSpec) -> None:
        wanted, start = spec.wanted, spec.start
        if group.wanted != wanted:
            raise ConsumerMismatch(
                f"consumer {group.name!r} wants {group.wanted}, and can't be opened for {wanted}; open "
                "it as it was, "
                f"choose another name, or start again after delete_consumer({group.name!r})"
            )
        if start is not None and start != group.start:
            raise ConsumerMismatch(
                f"consumer {group.name!r} was begun with start={group.start!r}, not {start!r}; leave "
                "start= out to go "
                f"on where it is, or start again after delete_consumer({group.name!r})"
            )

    # -- looking after them ------------------------------------------------------------------
    def group(self, name: str) -> ConsumerGroup:
        """The group of a name. Raises `UnknownName`."""
        with self._lock:
            self._require_open()
            group = self._find(name, DeliveryPolicy())
            if group is None:
                raise UnknownName("consumer", name, self.names())
            return group

    def names(self) -> list[str]:
        """Those of the store. Takes no lock."""
        return names_of(key for key, _ in self._log.notes(PREFIX))

    def status(self) -> list[ConsumerStatus]:
        """Every name there is."""
        with self._lock:
            groups = dict(self._groups)
        found = []
        for name in self.names():
            group = groups.get(name)
            if group is not None:
                found.append(open_status(group, self._progress.head))
                continue
            data = self._log.note(state_key(name))
            if data is not None:
                state, backlogs = GroupState.decode(name, data), self._backlogs(name)
                found.append(stored_status(name, state, backlogs.values(), self._progress.head))
        return found

    def problems(self) -> list[str]:
        """A sentence for each problem of what this process opened; never waits."""
        found = [problem for group in list(self._groups.values()) for problem in problems_of(group)]
        for one in self._callbacks:
            if one.failure is not None:
                found.append(f"the callbacks of consumer {one.name!r} ended: {one.failure}")
        return found

    def retry_writes(self) -> None:
        """Store what could not be stored. The supervisor's thread, at every tick."""
        for group in list(self._groups.values()):
            if not group.stores_nothing:
                group.writer.retry_if_due()

    def parked(self, name: str) -> list[ParkedStream]:
        """The parked streams of a name."""
        return [
            ParkedStream(stream, one.first, one.version, one.reason, one.attempts, following)
            for stream, one, following in self.group(name).parked()
        ]

    def replay(self, name: str, stream: str | None) -> int:
        """Have parked streams delivered again, and that stored; returns how many."""
        refuse_in_actor("replay_parked", self._progress)
        group = self.group(name)
        if stream is not None:
            self._require_parked(group, stream)
        replayed = group.replay(stream)
        self._finish(group.flush(), f"replaying what consumer {name!r} parked")
        return replayed

    def discard(self, name: str, stream: str, following: bool) -> None:
        """Give up what is parked in a stream, and have that stored."""
        refuse_in_actor("discard_parked", self._progress)
        group = self.group(name)
        if not group.discard(stream, following):
            self._require_parked(group, stream)
        self._finish(group.flush(), f"discarding what consumer {name!r} parked")

    @staticmethod
    def _require_parked(group: ConsumerGroup, stream: str) -> None:
        known = group.parked_streams()
        if stream not in known:
            raise UnknownName(f"parked stream of consumer {group.name!r}", stream, known)

    def delete(self, name: str) -> None:
        """Forget a name: its consumers end, its position and what it parked are gone."""
        refuse_in_actor("delete_consumer", self._progress)
        with self._lock:
            group = self.group(name)
            try:
                self._finish(group.retire(), f"deleting consumer {name!r}")
            except BaseException:
                group.revive()
                raise
            # What fails below leaves what is stored, which is read again when the name is asked for.
            del self._groups[name]
            keys = [key for key, _ in self._log.notes(prefix_of(name))]
            self._finish(self._write([(key, None) for key in keys]), f"deleting consumer {name!r}")

    @staticmethod
    def _finish(future: Future[Any], what: str) -> None:
        try:
            future.result(TIMEOUT)
        except TimeoutError:
            raise CommandTimeout(
                "",
                f"{what} did not end within {TIMEOUT:g} s; it may or may not be on disk: look at consumers()",
            ) from None

    # -- closing -----------------------------------------------------------------------------
    def has(self, thread: int) -> bool:
        """Whether the thread with this identifier runs callbacks."""
        return any(one.has(thread) for one in self._callbacks)

    def close(self, timeout: float, asker: int) -> None:
        """End all consumers, and store what they acknowledged; the writer still runs.

        A callback in whose thread the system is closed, that of `asker`, is not waited for.
        """
        end = time.monotonic() + min(timeout, FLUSH)
        self._closed = True
        groups = list(self._groups.values())
        for group in groups:
            for consumer in group.members():
                consumer.stop()
        for callback in self._callbacks:
            callback.wait(max(end - time.monotonic(), 0.0), asker)
        for future in [group.flush() for group in groups]:
            try:
                future.result(max(end - time.monotonic(), 0.0))
            except Exception:  # Then it is delivered again: the time is up, or the disk does not take it.
                break
