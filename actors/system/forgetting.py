"""Forgetting people with a `System`. Callers' threads."""

from __future__ import annotations

import time
from collections.abc import Collection

from actors.errors import ConsistencyTimeout, DomainError
from actors.runtime.forgetting import Forgotten
from actors.system.base import SystemBase
from actors.timeouts import checked_timeout
from storage.value_text import short_repr

__all__ = ["ForgettingMethods"]


class ForgettingMethods(SystemBase):
    """Forgetting people whose data is in personal fields."""

    def forget(
        self,
        subjects: str | Collection[str],
        *,
        wait: bool = False,
        timeout: float = 60.0,
        who: str = "System.forget",
        why: str = "",
    ) -> Forgotten:
        """Forget one or several people: destroy their keys, so that nobody reads their personal fields again.

        A subject is the text of what identifies the person in the field that `Personal(subject=)` names.
        Forgetting several in one call costs little more than one of them. The keys are destroyed on disk
        first; then the log says so, by an event `SubjectForgotten` of each, which read models and process
        managers may handle, and by a correction that changes nothing, with `who` and `why`. Deciders and
        readers have the redacted values from then on. Snapshots of states that may have the values are
        deleted, and read models that handle events with personal fields are filled again while their old
        tables serve; with `wait` this returns once they are, and results that were kept are dropped. A
        subject may have a new key afterwards: what is written of it then is readable.

        A process that dies in the middle leaves the rest to the next opening. What was forgotten is still in
        free pages of files until `onewriter compact`. Raises `DomainError` for a domain without personal
        fields, `InvalidMessage`, `InvalidKey` and `TypeError` for what can't be a subject, with nothing done;
        `ConsistencyTimeout` if the models are not filled within `timeout` seconds (it goes on),
        `CommandTimeout`, `CommitUncertain` (forget again), `OpenedForReading`, `StorageError`, `WrongThread`.
        """
        parts = self._running()
        checked_timeout(timeout, "forget")
        given = [subjects] if isinstance(subjects, str) else list(subjects)
        for one in given:
            if not isinstance(one, str):
                raise TypeError(f"forget() takes the text of a subject, not {short_repr(one)}")
        if not parts.domain.codec.personal:
            raise DomainError(
                f"domain {parts.domain.name!r} has no personal fields, so nobody can be forgotten"
            )
        end = time.monotonic() + timeout
        done = self._runtime.forgetting.forget(given, who, why, timeout)
        if wait:
            self._wait_forgotten(done, end, timeout)
        return done

    def _wait_forgotten(self, done: Forgotten, end: float, timeout: float) -> None:
        rebuilds = self._runtime.rebuilds
        for model in done.models:
            if not rebuilds.wait(model, max(end - time.monotonic(), 0.0)):
                raise ConsistencyTimeout(
                    f"{len(done.subjects)} subjects are forgotten, and model {model!r} was not filled again "
                    f"on every replica within {timeout:g} s: {rebuilds.left(model)}; it goes on, see "
                    "rebuilds()"
                )
