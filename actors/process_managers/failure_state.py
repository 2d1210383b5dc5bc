"""What keeps a process manager from going on, and when it retries. No thread; the caller gives the time."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import NamedTuple

from actors.errors import DomainError, NotStopped, described
from actors.kernel.backoff import backoff
from actors.process_managers.inputs import Input

__all__ = ["Failure", "FailureState"]

RETRY_FIRST, RETRY_LAST = 0.05, 60.0
MAX_SUPERSEDED = 3
"""Steps in a row that another one may come before until that counts as trouble."""


class Failure(NamedTuple):
    """The input `id` that a manager is stopped at, `what` it is in words, the error and its traceback."""

    id: str
    what: str
    error: str
    text: str
    attempts: int
    skippable: bool


class FailureState:
    """Of one incarnation of a manager.

    `failure` is the input that it is stopped at, `trouble` what keeps its steps from being done,
    `isolated_input` the id of the input among several that fails, so that they are handled one by one.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._attempts = 0
        self.stored = f"{name}:notes"
        """The id of a failure of stored records, in place of an input's."""
        self.failure: Failure | None = None
        self.trouble: str | None = None
        self.isolated_input: str | None = None
        self.retry_at: float | None = None

    def must_wait(self, now: float) -> bool:
        """Whether nothing is to be tried yet, at the monotonic time `now`."""
        if self.retry_at is not None and now >= self.retry_at:
            self.retry_at = None
        return self.retry_at is not None

    def stop(self, id: str, what: str, error: BaseException, now: float) -> bool:
        """Stop at an input; True when that is news, False when it failed there before."""
        again = self.failure is not None and self.failure.id == id
        attempts = self.failure.attempts + 1 if self.failure is not None and again else 1
        text = "".join(traceback.format_exception(error))
        self.failure = Failure(id, what, described(error), text, attempts, id != self.stored)
        self.retry_at = now + backoff(RETRY_FIRST, RETRY_LAST, attempts)
        return not again

    def retry_later(self, trouble: str, now: float) -> None:
        """A step could not be done, though nothing is wrong with it: retry it later."""
        self.trouble = trouble
        self._attempts += 1
        self.retry_at = now + backoff(RETRY_FIRST, RETRY_LAST, self._attempts)

    def superseded(self, trouble: str, now: float) -> None:
        """Another step came first, as after a restart: go on at once, unless it happens again and again."""
        self._attempts += 1
        if self._attempts > MAX_SUPERSEDED:
            self.retry_later(trouble, now)

    def handled(self, inputs: Sequence[Input]) -> None:
        """A step with these inputs is on disk."""
        self._attempts = 0
        self.trouble = None
        ids = {input.id for input in inputs}
        if self.failure is not None and self.failure.id in ids:
            self.failure = None
        if self.isolated_input in ids:
            self.isolated_input = None

    def quarantined(self, ids: Sequence[str]) -> None:
        """These inputs failed alone, and their instances are set aside."""
        if self.isolated_input in ids:
            self.isolated_input = None

    def skipped(self, id: str) -> None:
        """An input that it was stopped at is behind it."""
        if self.failure is not None and self.failure.id == id:
            self.failure = None

    def require_skippable(self, quarantined: int) -> Failure:
        """The failure whose input an operator may skip; raises `NotStopped` where there is none.

        `quarantined` instances are set aside, each at its own input.
        """
        failure = self.failure
        if failure is None:
            aside = (
                f", but {quarantined} of its instances {'is' if quarantined == 1 else 'are'} set aside: "
                f"quarantined({self._name!r}) lists them, and skip_instance has one skip its input"
                if quarantined
                else ": there is nothing to skip"
            )
            raise NotStopped(f"process manager {self._name!r} is not stopped{aside}")
        if not failure.skippable:
            raise NotStopped(
                f"process manager {self._name!r} is stopped at {failure.what}, which can't be skipped: "
                f"{failure.error}; where its notes are at fault, raise its version to have its states "
                "rebuilt"
            )
        return failure

    def require_version(self, stored: int, declared: int) -> None:
        """Raise `DomainError` where a newer program has worked on the store."""
        if stored > declared:
            raise DomainError(
                f"process manager {self._name!r} was run as version {stored} on this store, and is declared "
                "as "
                f"version {declared}; run the newer program, or raise the version"
            )
