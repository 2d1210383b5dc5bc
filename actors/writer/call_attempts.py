"""What all attempts of one call have in common: its id, its time, and when it began.

Middleware may go round a call several times, and so does `on_conflict`. What a caller asked for once is done
once: each attempt has the id of the call, and none begins after its end. The caller's thread, after `submit`
those that follow.
"""

from __future__ import annotations

from typing import Any

__all__ = ["CallAttempts"]


class CallAttempts:
    """The attempts of one call.

    `number` counts those made so far, `command_id` is that of the newest, at first that of the call.
    """

    __slots__ = ("_fresh", "_given", "_waited_for", "command_id", "end", "number", "strict", "timeout")

    def __init__(
        self, command_id: Any, fresh: bool, end: float, timeout: float, waited_for: bool = True
    ) -> None:
        """`fresh`: the id was made for this call, and was not seen by anyone before the first attempt.

        `end` is the monotonic time at which the call's `timeout` seconds are over. A `strict` attempt is not
        handed over after it. A `submit` that is not `waited_for` has no strict attempts: its time-out bounds
        the wait for room. With a time-out of zero nothing is waited for, so the first attempt is handed over
        in any case.
        """
        self.command_id = self._given = command_id
        self._fresh = fresh
        self._waited_for = waited_for
        self.end = end
        self.timeout = timeout
        self.number = 0
        self.strict = waited_for and timeout > 0

    @property
    def began(self) -> float:
        """The monotonic time of the call."""
        return self.end - self.timeout

    def identity(self, given: Any) -> tuple[Any, bool]:
        """The id of the attempt that begins, unchecked, and whether no receipt can have it yet.

        `given` is what the options say now: a middleware may have set another id. One that removed the id
        means the call's.
        """
        self.number = number = self.number + 1
        if number > 1:
            self.strict = self._waited_for
        if given is None:
            given = self._given
        return given, number == 1 and self._fresh and given is self._given
