"""What a worker tells its parent: where its replica is, how its builds are, and its logging. Any thread of the worker."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import astuple
from typing import Any

from actors.queries.cache import ResultCache
from actors.replication.projector import ModelRun
from actors.replication.replica_slot import ReplicaHome
from actors.worker_processes.wire import protocol
from actors.worker_processes.wire.framing import Line, framed

__all__ = ["LogTeller", "Teller"]


class Teller:
    """Writes to the control line. Waits for the parent to read, which it always does unless it is gone."""

    def __init__(self, line: Line, cache: ResultCache | None) -> None:
        self._line = line
        self._cache = cache
        self._home: ReplicaHome | None = None
        self._said_position = -1
        self._said_state = b""
        self._trouble = False
        self._lock = threading.Lock()

    def live_at(self, home: ReplicaHome) -> None:
        """The replica that it tells of."""
        self._home = home

    def say(self, *words: Any) -> None:
        """Tell the parent; where it is gone, nobody."""
        # Whoever reads the line finds the end, too.
        with suppress(OSError):
            self._line.send_all(framed(protocol.pack(*words)))

    # -- positions ---------------------------------------------------------------------------
    def positions(self, running: Iterable[tuple[str, int]]) -> list[Any]:
        """Of each model its checkpoint, its last change, its build, and whether it is among those `running`."""
        home = self._home
        assert home is not None
        state = home.store.state
        runs = {model for model, _ in running}
        return [
            (model, state.checkpoint(model), state.changed(model), state.build(model), model in runs)
            for model in state.active
        ]

    def applied(self, running: Iterable[tuple[str, int]]) -> None:
        """The replica published where its models are. Its thread."""
        home = self._home
        assert home is not None
        running = list(running)
        self._said_position = position = max((at for _, at in running), default=0)
        self.say(protocol.APPLIED, position, home.projector.applied_events, self.positions(running))
        # The parent believes in a build or a failure until it is told of its end.
        if home.projector.building or self._trouble:
            self.state()

    def handled(self, position: int) -> None:
        """The replica has handled all up to there, which may be more than any model that runs has applied."""
        if position > self._said_position:
            home = self._home
            assert home is not None
            self._said_position = position
            running = home.projector.checkpoints()
            self.say(protocol.APPLIED, position, home.projector.applied_events, self.positions(running))

    # -- everything else ---------------------------------------------------------------------
    def state(self) -> None:
        """Tell how builds and failures are, unless that was said already."""
        with self._lock:
            state = self.described()
            said = protocol.pack(state)
            if said != self._said_state:
                self._said_state = said
                self.say(protocol.STATE, state)

    def described(self) -> dict[str, Any]:
        """What `FarHome.told` takes."""
        home = self._home
        assert home is not None
        projector = home.projector
        now = time.monotonic()
        self._trouble = any(run.failure is not None for run in projector.runs) or bool(projector.building)
        return {
            "runs": [_run(run, now) for run in projector.runs],
            "building": [_run(run, now) for run in projector.building],
            "frozen": [tuple(one) for one in projector.frozen],
            "applied_events": projector.applied_events,
            "reason": home.reason,
            "reset_reason": home.store.reset_reason,
            "cache": None if self._cache is None else astuple(self._cache.health()),
        }


def _run(run: ModelRun, now: float) -> tuple[Any, ...]:
    failure = run.failure
    rate = run.rate.per_second(run.checkpoint, now), run.rate.seconds_left(run.checkpoint, now)
    return (
        run.model.name,
        run.model.version,
        run.key,
        run.checkpoint,
        None
        if failure is None
        else (failure.position, failure.type, failure.full, failure.error, failure.text),
        run.waiting,
        rate,
    )


class LogTeller(logging.Handler):
    """Gives the worker's log records to the parent's logging."""

    def __init__(self, teller: Teller) -> None:
        super().__init__()
        self._teller = teller
        self._format = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Tell one."""
        trace = record.exc_text or ""
        if record.exc_info and not trace:
            trace = self._format.formatException(record.exc_info)
        try:
            text = record.getMessage()
        except Exception:
            text = f"{record.msg!r} {record.args!r}"
        self._teller.say(
            protocol.LOGGED, record.name, record.levelno, text, trace, record.created, record.threadName or ""
        )
