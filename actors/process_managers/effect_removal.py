"""The plans of the steps in which an effect leaves its outbox: it is done, or given up. Pure."""

from __future__ import annotations

import time

from actors.errors import Rejected
from actors.process_managers.inputs import Input, Issued
from actors.process_managers.pending_delivery import PendingDelivery
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.records import DeliveryAttempts
from actors.process_managers.step_plan import StepPlan
from actors.writer.step_client import StepClient

__all__ = ["completion_plan", "parking_plan"]


def completion_plan(steps: StepClient, key: bytes, delivery: PendingDelivery) -> StepPlan:
    """Execute the commands that the handler returned, and remove the effect.

    A command that its own `validate` refuses is rejected with the step; raises what else is wrong with one.
    """
    entry = delivery.entry
    input = Input("effect", entry.id, entry.key, None, entry.time_us, entry.id, entry.correlation)
    plan = StepPlan((key, delivery.value), time.time_ns() // 1000, {key: None})
    for number, command in enumerate(delivery.results or ()):
        issued = Issued(f"{entry.id}:{number}", command)
        try:
            submission = steps.submission(
                command,
                command_id=issued.id,
                causation_id=entry.id,
                correlation_id=entry.correlation,
            )
        except Rejected as refusal:
            plan.refused.append((len(plan.issued), input, issued, refusal))
        else:
            plan.issued.append((input, issued))
            plan.submissions.append(submission)
    return plan


def parking_plan(
    keys: RecordKeys, records: RecordCodec, key: bytes, delivery: PendingDelivery, attempts: DeliveryAttempts
) -> StepPlan:
    """Keep the effect among the parked ones, with why it failed."""
    parked = delivery.entry._replace(reason=attempts.traceback, attempts=attempts.failed)
    notes = {key: None, keys.parked + key[len(keys.due) :]: records.pack_entry(parked)}
    return StepPlan.of_notes(notes, (key, delivery.value))
