"""Making a correction of stored events. The writer's thread, between two batches."""

from __future__ import annotations

import time

from actors.writer.correction_request import CorrectionRequest
from actors.writer.exclusive_work import ExclusiveWork

__all__ = ["Corrector"]


class Corrector(ExclusiveWork):
    """Commits corrections, and answers those who asked for them."""

    def correct(self, request: CorrectionRequest) -> None:
        """Make a correction, and answer it. Raises what ends the writer's thread, or what reopening does."""
        with self._answering(request):
            written = self._state.written
            new = request.types - written.known
            with self._committing("this correction was made"):
                number = self._log.correct(
                    request.changes,
                    who=request.who,
                    why=request.why,
                    time_us=time.time_ns() // 1000,
                    models=request.models,
                    notes=written.notes(new),
                )
            written.known |= new
            self._aggregates.clear()
            request.future.set_result(number)
