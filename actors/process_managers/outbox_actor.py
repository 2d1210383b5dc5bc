"""The actor of one manager's outbox: has its effects delivered, after the commit that asked for them.

At least once: an effect leaves the outbox by a step after its handler returned, and the commands that the
handler returned are executed in that step, once. The effects of one instance are delivered in order; one that
fails is retried with backoff, holds up those behind it, and is parked in the end. Handlers run in the
delivery threads, so that one that hangs holds up neither this actor nor other instances.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from actors.domain.process_manager_spec import ProcessManagerSpec
from actors.domain.specs import CompiledDomain
from actors.kernel.actor import SupervisedActor
from actors.kernel.backoff import backoff
from actors.kernel.delivery_marks import DeliveryMarks
from actors.kernel.mailbox import IdleTimeout, Mailbox
from actors.process_managers.attempt_counter import AttemptCounter
from actors.process_managers.delivery_threads import DeliveryThreads, Outcome
from actors.process_managers.effect_calls import EffectCalls
from actors.process_managers.effect_removal import completion_plan, parking_plan
from actors.process_managers.loaded_effects import LoadedEffects
from actors.process_managers.outbox_messages import (
    AttemptsStored,
    DeliverEffects,
    EffectsRemoved,
    EffectUnblocked,
)
from actors.process_managers.outstanding_effects import OutstandingEffects
from actors.process_managers.parked_instances import ParkedInstances
from actors.process_managers.pending_delivery import PendingDelivery
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.records import DeliveryAttempts, OutboxEntry
from actors.process_managers.status_board import StatusBoard
from actors.process_managers.step_errors import CommandsFailed
from actors.process_managers.step_plan import StepPlan
from actors.process_managers.unreadable_values import Unreadable
from actors.writer.atomic_step import StepSuperseded
from actors.writer.step_client import StepClient
from storage import EventLog

__all__ = ["OutboxActor"]

logger = logging.getLogger("onewriter.process")

RETRY_FIRST, RETRY_LAST = 0.1, 60.0


class OutboxActor(SupervisedActor):
    """Messages: `DeliverEffects`, `EffectsRemoved`, `AttemptsStored`, `EffectUnblocked`."""

    def __init__(
        self,
        name: str,
        mailbox: Mailbox,
        exited: Callable[[str, BaseException | None], None],
        *,
        spec: ProcessManagerSpec,
        domain: CompiledDomain,
        log: EventLog,
        steps: StepClient,
        board: StatusBoard,
        threads: DeliveryThreads,
        marks: DeliveryMarks,
        rejection_left: Callable[[], None],
        hangs: float,
    ) -> None:
        """`threads` outlive the actor; at the end it waits for none that has spent `hangs` seconds on an
        effect.

        `rejection_left()` notifies the manager of a rejection. What is being delivered is marked in `marks`.
        """
        super().__init__(name, mailbox, exited)
        self._spec = spec
        self._log = log
        self._steps = steps
        self._board = board
        self._rejection_left = rejection_left
        self._threads = threads
        self._hangs = hangs
        self._keys = keys = RecordKeys(spec.name)
        self._records = records = RecordCodec(domain.codec, spec.version)
        self._attempts = AttemptCounter(board.attempts, keys, records)
        self._outstanding = OutstandingEffects(marks, spec.name)
        self._parked = ParkedInstances(keys, records, steps.put_notes, mailbox.put)
        self._loaded = LoadedEffects(keys, records, log, self._parked, self._outstanding, self._attempts)
        threads.send = EffectCalls(spec, records, self._outstanding, self._attempts).deliver

    def on_start(self) -> None:
        """Deliver what an earlier incarnation, or process, left."""
        self._attempts.load(self._log)
        self._reload()
        self._advance()

    def on_stop(self) -> None:
        """Take out what is delivered, and store how often effects failed."""
        self._threads.close(self._hangs)
        self._advance()
        self._store_attempts()

    def on_receive(self, message: Any) -> None:
        """Deliver what is due."""
        kind = message.__class__
        if kind is EffectsRemoved:
            self._removed(message)
        elif kind is DeliverEffects:
            if message.reload:
                self._board.delivering = True  # until `_advance` has looked
                self._board.releases_seen += 1
                self._reload()
        elif kind is EffectUnblocked:
            if not self._parked.step_done(message, self._log):
                return
            self._loaded.reload()
        elif kind is AttemptsStored:
            if message.future.exception() is not None:
                self._attempts.not_stored(message.keys)
            else:
                self._outstanding.settled(message.keys)
        elif kind is not IdleTimeout:
            super().on_receive(message)
            return
        self._advance()

    def _reload(self) -> None:
        """Look at all of the outbox, and at what is parked."""
        self._parked.load(self._log)
        for key, delivery in self._loaded.deliveries.items():
            if delivery.parking:
                self._parked.park(delivery.entry.key, self._suffix(key))
        self._loaded.reload()

    @property
    def _busy(self) -> bool:
        return bool(self._loaded.deliveries or self._parked.unblocking)

    def _suffix(self, key: bytes) -> bytes:
        """The end of an effect's key, which gives its place among those of its instance."""
        return key[len(self._keys.due) :]

    # -- delivering ---------------------------------------------------------------------------
    def _advance(self) -> None:
        self.mailbox.idle_timeout = None
        if self._board.status.rebuilding is not None:
            return  # The manager sends a message when it is done.
        threads = self._threads
        threads.expect_notification()
        for key, instance in threads.slow_effects().items():
            # What waits behind it is not to fill the memory.
            if key in self._loaded.deliveries:
                self._loaded.block(key, instance)
        unblocked, retry_at = self._parked.unblock(self._log)
        if unblocked:
            self._loaded.reload()
        if self._loaded.load():
            self.mailbox.put(DeliverEffects())
        self._board.delivering = self._busy
        done: dict[bytes, PendingDelivery] = {}
        runs: dict[str, list[tuple[bytes, OutboxEntry]]] = {}
        busy = threads.busy_instances()
        held: set[str] = set()
        waits: list[float] = [] if retry_at is None else [retry_at]
        now = time.monotonic()
        for key, delivery in list(self._loaded.deliveries.items()):
            instance = delivery.entry.key
            if delivery.leaving or instance in held:
                continue
            if delivery.results is None and (outcome := threads.take_outcome(key)) is not None:
                self._delivered(key, delivery, outcome)
            if delivery.leaving or delivery.due > now:
                held.add(instance)
                if not delivery.leaving:
                    waits.append(delivery.due)
            elif delivery.results is None:
                if self._parked.blocks(instance, self._suffix(key)):
                    self._block(key, delivery)
                elif delivery.ended_process and self._gives_up(key, delivery):
                    held.add(instance)
                elif instance not in busy:
                    runs.setdefault(instance, []).append((key, delivery.entry))
            elif delivery.results:
                held.add(instance)
                self._finish(key, delivery)
                if not delivery.leaving:
                    waits.append(delivery.due)
            else:
                done[key] = delivery
        if done:
            self._hand_over(done, StepPlan.of_notes(dict.fromkeys(done)))
        threads.submit(runs.values())
        store_at = self._attempts.store_at
        if store_at is not None and store_at <= time.monotonic():
            self._store_attempts()
        elif store_at is not None:
            waits.append(store_at)
        slow_in = threads.add_thread_if_slow()
        if slow_in is not None:
            waits.append(time.monotonic() + slow_in)
        if waits:
            self.mailbox.idle_timeout = max(min(waits) - time.monotonic(), 0.001)

    def _delivered(self, key: bytes, delivery: PendingDelivery, outcome: Outcome) -> None:
        """The handler returned, or failed."""
        if not isinstance(outcome, BaseException):
            delivery.results = outcome
            return
        effect = self._spec.effects.get(delivery.entry.name)
        hopeless = effect is None or isinstance(delivery.entry.payload, Unreadable)
        self._failed(key, delivery, outcome, 1 if effect is None or hopeless else effect.attempts)

    def _gives_up(self, key: bytes, delivery: PendingDelivery) -> bool:
        """Park an effect that ended the process for the last time."""
        delivery.ended_process = False
        entry = delivery.entry
        effect = self._spec.effects.get(entry.name)
        attempts = self._attempts.process_ended(key, 0)
        logger.warning(
            "the process ended while effect %r %s of process manager %r was delivered (attempt %d)",
            entry.name,
            entry.id,
            self._spec.name,
            attempts.failed,
        )
        if effect is None or attempts.failed < effect.attempts:
            return False
        self._park(key, delivery, attempts)
        return True

    def _failed(self, key: bytes, delivery: PendingDelivery, error: BaseException, most: int) -> None:
        attempts = self._attempts.failed(key, error)
        entry = delivery.entry
        logger.warning(
            "effect %r %s of process manager %r failed (attempt %d of %d): %s: %s",
            entry.name,
            entry.id,
            self._spec.name,
            attempts.failed,
            most,
            type(error).__name__,
            error,
        )
        if attempts.failed < most:
            self._loaded.block(key, entry.key)
            delivery.due = time.monotonic() + backoff(RETRY_FIRST, RETRY_LAST, attempts.failed - 1)
        else:
            self._park(key, delivery, attempts)

    def _store_attempts(self) -> None:
        leaving = {key for key, delivery in self._loaded.deliveries.items() if delivery.leaving}
        notes = self._attempts.take_changes(leaving)
        if notes:
            keys = [self._keys.due + key[len(self._keys.attempts) :] for key in notes]
            future = self._steps.put_notes(notes.items())
            future.add_done_callback(lambda done: self.mailbox.put(AttemptsStored(keys, done)))

    # -- leaving the outbox -------------------------------------------------------------------
    def _park(self, key: bytes, delivery: PendingDelivery, attempts: DeliveryAttempts) -> None:
        """Give an effect up until an operator has it tried again, or dropped."""
        # From now on, so that nothing behind it is delivered before this is on disk.
        self._parked.park(delivery.entry.key, self._suffix(key))
        delivery.parking = True
        self._hand_over({key: delivery}, parking_plan(self._keys, self._records, key, delivery, attempts))

    def _block(self, key: bytes, delivery: PendingDelivery) -> None:
        """Put an effect behind a parked one."""
        notes = self._parked.block(delivery.entry.key, key, delivery.value)
        self._hand_over({key: delivery}, StepPlan.of_notes(notes, (key, delivery.value)))

    def _finish(self, key: bytes, delivery: PendingDelivery) -> None:
        """Execute what the handler returned, and take the effect from the outbox, in one step."""
        try:
            plan = completion_plan(self._steps, key, delivery)
        except BaseException as error:
            self._failed(key, delivery, error, self._spec.effects[delivery.entry.name].attempts)
        else:
            self._hand_over({key: delivery}, plan)

    def _hand_over(self, taken: dict[bytes, PendingDelivery], plan: StepPlan) -> None:
        for delivery in taken.values():
            delivery.leaving = True
        plan.notes.update(self._attempts.removals(taken))
        step = plan.step(self._keys, self._records)
        step.future.add_done_callback(lambda done: self.mailbox.put(EffectsRemoved(taken, plan, done)))
        self._steps.put(step)

    def _removed(self, message: EffectsRemoved) -> None:
        error = message.future.exception()
        if error is None or isinstance(error, StepSuperseded):
            # Superseded: an earlier incarnation's step took it, or one whose outcome was unknown; it may have
            # left a rejection.
            for key, delivery in message.taken.items():
                self._attempts.forget(key)
                self._outstanding.settled([key])
                self._loaded.removed(key, delivery)
            if message.plan.rejected or error is not None:
                self._rejection_left()
            if error is not None:
                self._reload()  # It may be parked now.
            self._board.delivering = self._busy
            self._board.notify()
            return
        for key, delivery in message.taken.items():
            delivery.leaving = False
            if delivery.parking:
                # Those behind it come back meanwhile.
                delivery.parking = False
                self._parked.unpark(delivery.entry.key, self._suffix(key))
            delivery.due = time.monotonic() + RETRY_FIRST
            if isinstance(error, CommandsFailed):
                # It is delivered: only the commands are tried again.
                self._failed(key, delivery, error.error, self._spec.effects[delivery.entry.name].attempts)
