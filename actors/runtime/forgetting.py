"""Forgetting people in a running system. Callers' threads; the writer destroys the keys.

The order is such that after a crash the next opening goes on: the key store keeps the names of the subjects
from before their keys are destroyed until the log has the event that they were forgotten.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from typing import NamedTuple

from actors.domain.personal import SubjectForgotten
from actors.domain.personal_classes import impersonal_fingerprints, personal_models
from actors.errors import CommandTimeout
from actors.kernel.actor import refuse_in_actor
from actors.kernel.supervisor import Supervisor
from actors.runtime.parts import Parts
from actors.runtime.rebuilds import Rebuilds
from actors.writer.call_errors import overloaded
from actors.writer.forget_request import ForgetRequest
from actors.writer.kept_states import kept_streams
from storage import OnewriterError
from storage.log.records import name_key

__all__ = ["Forgetting", "Forgotten"]

logger = logging.getLogger("onewriter.keys")

AT_A_TIME = 1_000
"""Streams whose snapshots are deleted in one commit, and subjects whose events are written in one."""
OPENING_TIMEOUT = 60.0
"""Seconds that an opening takes at most to finish what a process that died had begun."""
SHOWN = 10


class Forgotten(NamedTuple):
    """That `subjects` were forgotten, with their events up to `position`.

    `models` are the read models that are filled again for that. The tables of those `at_next_opening` still
    have what they had: they are inline, and filled again when the store is opened next.
    """

    subjects: tuple[str, ...]
    position: int
    models: tuple[str, ...]
    at_next_opening: tuple[str, ...]


class Forgetting:
    """Of one running system."""

    def __init__(self, parts: Parts, rebuilds: Rebuilds, supervisor: Supervisor) -> None:
        self._parts = parts
        self._rebuilds = rebuilds
        self._supervisor = supervisor

    def forget(self, subjects: Sequence[str], who: str, why: str, timeout: float) -> Forgotten:
        """Destroy the keys of subjects, tell everybody, and begin to fill models again.

        Raises InvalidMessage for a subject that can't name a stream, CommandTimeout, CommitUncertain,
        ConsistencyTimeout, StorageError.
        """
        parts = self._parts
        refuse_in_actor("forget", parts.progress)
        end = time.monotonic() + timeout
        stream_of = parts.domain.events[SubjectForgotten].stream_of
        assert stream_of is not None
        # Refused before anything is destroyed.
        streams = {one: stream_of(SubjectForgotten(one)) for one in dict.fromkeys(subjects)}
        for stream in streams.values():
            name_key("stream", stream)
        concerned = personal_models(parts.domain)
        models = sorted({one.name for one in concerned if not one.inline})
        inline = sorted(
            {one.name for one in concerned if one.inline and one is parts.domain.models[one.name]}
        )
        self._ask(
            ForgetRequest(
                list(streams),
                who=who,
                why="; ".join(filter(None, (why, _listed(list(streams))))),
                models=models,
                inline=inline,
            ),
            end,
        )
        self._restart_process_managers(end)
        position = self._tell(streams, end)
        self._drop_snapshots(end)
        sealer = parts.domain.codec.sealer
        assert sealer is not None
        sealer.recorded(list(streams))
        self._rebuilds.start_all(models)
        return Forgotten(tuple(streams), position, tuple(models), tuple(inline))

    def go_on(self) -> None:
        """Finish what a process that died had begun. What fails is logged, and left to the next opening."""
        sealer = self._parts.domain.codec.sealer
        waiting = [] if sealer is None else sealer.destroying()
        if not waiting:
            return
        logger.warning("finishing to forget %d subjects, at which a process died", len(waiting))
        try:
            self.forget(waiting, "onewriter", "", OPENING_TIMEOUT)
        except OnewriterError as error:
            logger.error("%d subjects are not forgotten everywhere yet: %s", len(waiting), error)

    def _ask(self, request: ForgetRequest, end: float) -> None:
        mailbox = self._parts.command_client.mailbox
        if not mailbox.offer(request, end - time.monotonic()):
            raise overloaded(mailbox)
        try:
            request.future.result(max(end - time.monotonic(), 0.0))
        except (TimeoutError, CancelledError):
            raise CommandTimeout(
                "", "no reply in time to forget(); the next opening finishes what has begun, or call it again"
            ) from None

    def _restart_process_managers(self, end: float) -> None:
        """What they have in memory was read with the keys."""
        for name in self._parts.process_managers.names:
            self._supervisor.kill(name, max(end - time.monotonic(), 0.1))

    def _tell(self, streams: dict[str, str], end: float) -> int:
        """Write the events; the position of the last one."""
        facts = [(stream, [SubjectForgotten(subject)]) for subject, stream in streams.items()]
        receipts = self._parts.command_client.append_each(facts, max(end - time.monotonic(), 0.1))
        return max((one.position for one in receipts), default=0)

    def _drop_snapshots(self, end: float) -> None:
        """Those of states that may have what was forgotten; they are taken again.

        Of a stream whose earlier events were removed, the state is lost by that.
        """
        log, but = self._parts.log, impersonal_fingerprints(self._parts.domain)
        found = list(dict.fromkeys((*log.snapshot_streams(but), *kept_streams(log, but))))
        for first in range(0, len(found), AT_A_TIME):
            self._ask(ForgetRequest(streams=found[first : first + AT_A_TIME]), end)


def _listed(subjects: Sequence[str]) -> str:
    more = f" and {len(subjects) - SHOWN:,} more" if len(subjects) > SHOWN else ""
    return f"forgotten: {', '.join(subjects[:SHOWN])}{more}"
