"""The actor of one manager's outbox: has its effects delivered, after the commit that asked for them.

At least once: an effect leaves the outbox with a step after its handler returned, and what the handler returned, a
command or several, is executed in that step, once. The effects of one instance are delivered in order; one that fails
is tried again with backoff, holds up those behind it, and is parked in the end. Handlers run in the couriers' threads,
so that one that hangs holds up neither this actor nor other instances.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from actors.domain.process_manager_spec import ProcessManagerSpec
from actors.domain.specs import CompiledDomain
from actors.errors import Rejected
from actors.kernel.actor import SupervisedActor
from actors.kernel.backoff import backoff
from actors.kernel.delivery_marks import DeliveryMarks
from actors.kernel.mailbox import IdleTimeout, Mailbox
from actors.process_managers.attempt_counter import AttemptCounter
from actors.process_managers.delivery_threads import DeliveryThreads, Outcome
from actors.process_managers.effect_calls import EffectCalls
from actors.process_managers.inputs import Input, Issued
from actors.process_managers.loaded_effects import LoadedEffects
from actors.process_managers.outbox_messages import (
    AttemptsStored,
    DeliverEffects,
    EffectsRemoved,
    PendingDelivery,
)
from actors.process_managers.outstanding_effects import OutstandingEffects
from actors.process_managers.parked_instances import EffectUnblocked, ParkedInstances
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.records import Checkpoint, DeliveryAttempts, OutboxEntry, RecordKeys
from actors.process_managers.status import StatusBoard
from actors.process_managers.step_plan import CommandsFailed, StepPlan
from actors.process_managers.unreadable_values import Unreadable
from actors.writer.atomic_step import StepSuperseded
from actors.writer.command_client import CommandClient
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
        writes: CommandClient,
        desk: StatusBoard,
        couriers: DeliveryThreads,
        marks: DeliveryMarks,
        left: Callable[[], None],
        hangs: float,
    ) -> None:
        """`couriers` outlive the actor; at the end it waits for none that has been at an effect for `hangs` seconds.

        `left()` tells the manager of a rejection. What is being delivered is noted in `marks`.
        """
        super().__init__(name, mailbox, exited)
        self._spec = spec
        self._log = log
        self._writes = writes
        self._desk = desk
        self._left = left
        self._couriers = couriers
        self._hangs = hangs
        self._keys = RecordKeys(spec.name)
        self._values = RecordCodec(domain.codec, spec.version)
        self._attempts = AttemptCounter(desk.tried, self._keys, self._values)
        self._out = OutstandingEffects(marks, spec.name)
        self._parking = ParkedInstances(
            self._keys,
            self._values,
            lambda notes, guard: writes.put_step(lambda _: notes, guard),
            mailbox.put,
        )
        self._hand = LoadedEffects(self._keys, self._values, log, self._parking, self._out, self._attempts)
        couriers.send = EffectCalls(spec, self._values, self._out, self._attempts).deliver

    def on_start(self) -> None:
        """Deliver what an earlier incarnation, or process, left."""
        self._attempts.load(self._log)
        self._look_again()
        self._go()

    def on_stop(self) -> None:
        """Take out what is delivered, and leave in the notes how often effects failed."""
        self._couriers.close(self._hangs)
        self._go()
        self._note_attempts()

    def on_receive(self, message: Any) -> None:
        """Deliver what is due."""
        kind = message.__class__
        if kind is EffectsRemoved:
            self._removed(message)
        elif kind is DeliverEffects:
            if message.again:
                self._desk.delivering = True  # until `_go` has looked
                self._desk.looked += 1
                self._look_again()
        elif kind is EffectUnblocked:
            if not self._parking.moved(message, self._log):
                return
            self._hand.look_again()
        elif kind is AttemptsStored:
            if message.future.exception() is not None:
                self._attempts.not_noted(message.keys)
            else:
                self._out.counted(message.keys)
        elif kind is not IdleTimeout:
            super().on_receive(message)
            return
        self._go()

    def _look_again(self) -> None:
        """At all of the outbox, and at what is parked."""
        self._parking.load(self._log)
        for key, waiting in self._hand.waiting.items():
            if waiting.parks:
                self._parking.park(waiting.entry.key, self._place(key))
        self._hand.look_again()

    @property
    def _busy(self) -> bool:
        return bool(self._hand.waiting or self._parking.coming_back)

    # -- delivering ---------------------------------------------------------------------------
    def _go(self) -> None:
        self.mailbox.idle_timeout = None
        if self._desk.status.rebuilding is not None:
            return  # The manager tells when it is done.
        couriers = self._couriers
        couriers.listen()
        for key, instance in couriers.slow().items():
            # What waits behind it is not to fill the memory.
            if key in self._hand.waiting:
                self._hand.hold(key, instance)
        back, again_at = self._parking.move_back(self._log)
        if back:
            self._hand.look_again()
        if self._hand.load():
            self.mailbox.put(DeliverEffects())
        self._desk.delivering = self._busy
        done: dict[bytes, PendingDelivery] = {}
        runs: dict[str, list[tuple[bytes, OutboxEntry]]] = {}
        under_way = couriers.instances()
        held: set[str] = set()
        waits: list[float] = [] if again_at is None else [again_at]
        now = time.monotonic()
        for key, waiting in list(self._hand.waiting.items()):
            instance = waiting.entry.key
            if waiting.leaving or instance in held:
                continue
            if waiting.results is None and (outcome := couriers.outcome(key)) is not None:
                self._delivered(key, waiting, outcome)
            if waiting.leaving or waiting.due > now:
                held.add(instance)
                if not waiting.leaving:
                    waits.append(waiting.due)
            elif waiting.results is None:
                if self._parking.holds(instance, self._place(key)):
                    self._put_behind(key, waiting)
                elif waiting.ended and self._gives_up(key, waiting):
                    held.add(instance)
                elif instance not in under_way:
                    runs.setdefault(instance, []).append((key, waiting.entry))
            elif waiting.results:
                held.add(instance)
                self._finish(key, waiting)
                if not waiting.leaving:
                    waits.append(waiting.due)
            else:
                done[key] = waiting
        if done:
            notes: dict[bytes, bytes | None] = dict.fromkeys(done)
            self._hand_over(done, StepPlan(b"", Checkpoint(0, 0), 0, notes=notes), None)
        couriers.give(runs.values())
        note_at = self._attempts.note_at
        if note_at is not None and note_at <= time.monotonic():
            self._note_attempts()
        elif note_at is not None:
            waits.append(note_at)
        relieved = couriers.relieve()
        if relieved is not None:
            waits.append(time.monotonic() + relieved)
        if waits:
            self.mailbox.idle_timeout = max(min(waits) - time.monotonic(), 0.001)

    def _delivered(self, key: bytes, waiting: PendingDelivery, outcome: Outcome) -> None:
        """The handler returned, or failed."""
        if not isinstance(outcome, BaseException):
            waiting.results = outcome
            return
        effect = self._spec.effects.get(waiting.entry.name)
        hopeless = effect is None or isinstance(waiting.entry.payload, Unreadable)
        self._failed(key, waiting, outcome, 1 if effect is None or hopeless else effect.attempts)

    def _gives_up(self, key: bytes, waiting: PendingDelivery) -> bool:
        """Park an effect that ended the process for the last time."""
        waiting.ended = False
        entry = waiting.entry
        effect = self._spec.effects.get(entry.name)
        tried = self._attempts.ended(key, 0)
        logger.warning(
            "the process ended while effect %r %s of process manager %r was delivered (attempt %d)",
            entry.name,
            entry.id,
            self._spec.name,
            tried.attempts,
        )
        if effect is None or tried.attempts < effect.attempts:
            return False
        self._park(key, waiting, tried)
        return True

    def _failed(self, key: bytes, waiting: PendingDelivery, error: BaseException, most: int) -> None:
        tried = self._attempts.failed(key, error)
        entry = waiting.entry
        logger.warning(
            "effect %r %s of process manager %r failed (attempt %d of %d): %s: %s",
            entry.name,
            entry.id,
            self._spec.name,
            tried.attempts,
            most,
            type(error).__name__,
            error,
        )
        if tried.attempts < most:
            self._hand.hold(key, entry.key)
            waiting.due = time.monotonic() + backoff(RETRY_FIRST, RETRY_LAST, tried.attempts - 1)
        else:
            self._park(key, waiting, tried)

    def _park(self, key: bytes, waiting: PendingDelivery, tried: DeliveryAttempts) -> None:
        entry = waiting.entry
        parked = self._keys.parked + key[len(self._keys.due) :]
        value = self._values.pack_entry(entry._replace(reason=tried.text, attempts=tried.attempts))
        plan = StepPlan(b"", Checkpoint(0, 0), 0, notes={key: None, parked: value})
        # From now on, so that nothing behind it is delivered before this is on disk.
        self._parking.park(entry.key, self._place(key))
        waiting.parks = True
        self._hand_over({key: waiting}, plan, (key, waiting.value))

    def _place(self, key: bytes) -> bytes:
        """The end of an effect's key, which says where it stands among those of its instance."""
        return key[len(self._keys.due) :]

    def _put_behind(self, key: bytes, waiting: PendingDelivery) -> None:
        notes = self._parking.behind(waiting.entry.key, key, waiting.value)
        self._hand_over({key: waiting}, StepPlan(b"", Checkpoint(0, 0), 0, notes=notes), (key, waiting.value))

    def _note_attempts(self) -> None:
        leaving = {key for key, waiting in self._hand.waiting.items() if waiting.leaving}
        notes = self._attempts.to_note(leaving)
        if notes:
            keys = [self._keys.due + key[len(self._keys.tried) :] for key in notes]
            future = self._writes.put_step(lambda _outcomes: notes.items())
            future.add_done_callback(lambda done: self.mailbox.put(AttemptsStored(keys, done)))

    # -- leaving the outbox -------------------------------------------------------------------
    def _finish(self, key: bytes, waiting: PendingDelivery) -> None:
        """Execute what the handler returned, and take the effect from the outbox, in one step."""
        entry = waiting.entry
        input = Input("effect", entry.id, entry.key, None, entry.time_us, entry.id, entry.correlation)
        plan = StepPlan(b"", Checkpoint(0, 0), time.time_ns() // 1000, notes={key: None})
        for number, command in enumerate(waiting.results or ()):
            issued = Issued(f"{entry.id}:{number}", command)
            try:
                submission = self._writes.submission(
                    command,
                    command_id=issued.id,
                    causation_id=entry.id,
                    correlation_id=entry.correlation,
                )
            except Rejected as refusal:
                plan.refused.append((len(plan.issued), input, issued, refusal))
            except BaseException as error:
                self._failed(key, waiting, error, self._spec.effects[entry.name].attempts)
                return
            else:
                plan.issued.append((input, issued))
                plan.submissions.append(submission)
        self._hand_over({key: waiting}, plan, (key, waiting.value))

    def _hand_over(
        self, taken: dict[bytes, PendingDelivery], plan: StepPlan, guard: tuple[bytes, bytes | None] | None
    ) -> None:
        for waiting in taken.values():
            waiting.leaving = True
        plan.notes.update(self._attempts.forgetting(taken))
        step = plan.step(self._keys, self._values, guard)
        step.future.add_done_callback(lambda done: self.mailbox.put(EffectsRemoved(taken, plan, done)))
        self._writes.mailbox.put(step)

    def _removed(self, message: EffectsRemoved) -> None:
        error = message.future.exception()
        if error is None or isinstance(error, StepSuperseded):
            # Superseded: an earlier incarnation's step took it, or one whose outcome was unknown, with a rejection perhaps.
            for key, waiting in message.taken.items():
                self._attempts.forget(key)
                self._out.counted([key])
                self._hand.gone(key, waiting)
            if message.plan.rejected or error is not None:
                self._left()
            if error is not None:
                self._look_again()  # Perhaps it is parked.
            self._desk.delivering = self._busy
            self._desk.moved()
            return
        for key, waiting in message.taken.items():
            waiting.leaving = False
            if waiting.parks:
                # Those behind it come back meanwhile.
                waiting.parks = False
                self._parking.release(waiting.entry.key, self._place(key))
            waiting.due = time.monotonic() + RETRY_FIRST
            if isinstance(error, CommandsFailed):
                # It is delivered: only the commands are tried again.
                self._failed(key, waiting, error.error, self._spec.effects[waiting.entry.name].attempts)
