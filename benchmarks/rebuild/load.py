"""Queries and commands at fixed rates, from threads of their own, for as long as the `with` block goes on.

Each query has a moment fixed beforehand, and its duration counts from there: what a system that stalls would
have been asked meanwhile is charged to it.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any, Self

from actors import Receipt, System
from benchmarks.rebuild.answers import Answers, changes, is_right

CLIENTS = 4
COMMANDS_PER_SECOND = 50.0


class Load:
    """What is asked, and how long it took: `durations` by the phase in which it was asked."""

    def __init__(self, system: System, answers: Answers, queries_per_second: float) -> None:
        self.phase = ""
        self.durations: dict[str, list[float]] = {}
        self.failed: list[str] = []
        self.wrong: list[str] = []
        self.last: Receipt | None = None
        self._system = system
        self._answers = answers
        self._rate = queries_per_second
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)]
        self._threads.append(threading.Thread(target=self._change))

    def enter(self, phase: str) -> None:
        """From now on queries count for this phase."""
        self.durations.setdefault(phase, [])
        self.phase = phase

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, client: int) -> None:
        number = client
        while not self._over.wait(max(self._started + number / self._rate - time.perf_counter(), 0.0)):
            phase = self.phase
            query, right = self._answers.asked(number)
            try:
                answer: Any = self._system.query(query)
            except Exception as error:
                self.failed.append(f"{phase}: {query} failed with {type(error).__name__}: {error}")
            else:
                self.durations[phase].append(time.perf_counter() - self._started - number / self._rate)
                if not is_right(answer, right):
                    self.wrong.append(f"{phase}: {query} gave {answer!r:.200}, not {right!r:.200}")
            number += CLIENTS

    def _change(self) -> None:
        for number, command in enumerate(changes()):
            due = self._started + number / COMMANDS_PER_SECOND
            if self._over.wait(max(due - time.perf_counter(), 0.0)):
                return
            self.last = self._system.execute(command)
