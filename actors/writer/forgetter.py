"""Forgetting a person in the log. The writer's thread, between two batches."""

from __future__ import annotations

import time

from actors.writer.exclusive_work import ExclusiveWork
from actors.writer.forget_request import ForgetRequest
from actors.writer.kept_states import drop_kept_states

__all__ = ["Forgetter"]


class Forgetter(ExclusiveWork):
    """Destroys keys, and answers those who asked for it. Between two batches: no event is on its way then."""

    def forget(self, request: ForgetRequest) -> None:
        """Do what is asked, and answer it. Raises what ends the writer's thread, or what reopening does."""
        with self._answering(request):
            with self._committing("anybody was forgotten"):
                if request.subjects:
                    self._forget(request)
                else:
                    self._log.drop_snapshots(request.streams)
                    drop_kept_states(self._log, request.streams)
            request.future.set_result(None)

    def _forget(self, request: ForgetRequest) -> None:
        try:
            self._log.forget(
                request.subjects,
                who=request.who,
                why=request.why,
                time_us=time.time_ns() // 1000,
                models=request.models,
                inline=request.inline,
            )
        finally:
            # The keys may be gone though the commit failed.
            self._aggregates.clear()
