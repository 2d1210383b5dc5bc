"""Notes and a log in memory, for planners without a file, and a writer for their steps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from actors import Domain
from actors.process_managers.inputs import Input
from actors.process_managers.planner import Planner
from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.records import Checkpoint, ManagerMetadata
from actors.process_managers.step_plan import StepPlan
from actors.receipt import Receipt
from actors.writer.submission import Submission
from storage import RecordedEvent

WHEN = datetime(2024, 1, 1, tzinfo=UTC)
WHEN_US = int(WHEN.timestamp()) * 1_000_000


def recorded(event: Any, position: int = 7, time_us: int = WHEN_US) -> RecordedEvent:
    return RecordedEvent(position, "s", 1, event, type(event).__name__, time_us, f"c{position}")


def make(issued: Any, _input: Input) -> Submission:
    return Submission(issued.message, None, "", issued.id, b"", False)


class Memory(dict[bytes, bytes]):
    """Notes in memory, and a log beside them: what a planner reads, and a writer for its steps."""

    def __init__(self, domain: Domain, *events: Any) -> None:
        super().__init__()
        self.domain = domain.compile()
        self.spec = self.domain.process_managers["worker"]
        self.keys = RecordKeys("worker")
        self[self.keys.checkpoint] = Checkpoint(0, 0).pack()
        self[self.keys.metadata] = ManagerMetadata(1, 0).pack(self.domain.codec)
        self.events = [recorded(event, position) for position, event in enumerate(events, 1)]
        self.submitted: list[str] = []
        self.now = WHEN_US

    first_history_id = "history"

    def note(self, key: bytes) -> bytes | None:
        return self.get(key)

    def notes(self, prefix: bytes, after: bytes = b"", limit: int | None = None) -> list[Any]:
        found = sorted(key for key in self if key.startswith(prefix) and key > after)
        return [(key, self[key]) for key in found[:limit]]

    def peek(self, after: int, part: int = 0) -> RecordedEvent | None:
        return self.events[after] if after < len(self.events) else None

    def at(self, position: int) -> list[RecordedEvent]:
        return [self.events[position - 1]]

    def unwanted_until(self, after: int) -> int:
        while after < len(self.events) and type(self.events[after].event) not in self.spec.events:
            after += 1
        return after

    def planner(self, **options: Any) -> Planner:
        return Planner(self.spec, self.domain.codec, self, self, make, **options)

    def plan(self, planner: Planner, limit: int = 100, alone: bool = True) -> StepPlan | None:
        return planner.plan(self.now, limit, alone)

    def retry(self, planner: Planner, *keys: str, limit: int = 100) -> tuple[StepPlan | None, dict[str, Any]]:
        return planner.retry(self.now, keys, limit)

    def write(self, planner: Planner, plan: StepPlan, *outcomes: Any) -> bool:
        """Do a step as the writer does; False when its guard is not met."""
        assert plan.guard is not None
        key, expected = plan.guard
        if self.get(key) != expected:
            return False
        given = list(outcomes) or [Receipt("", 0, 0, 0, "", 0, {}, ())] * len(plan.submissions)
        state = planner.state
        for key, value in plan.notes_for(state.keys, state.records, given).items():
            if value is None:
                self.pop(key, None)
            else:
                self[key] = value
        self.submitted += [submission.command_id for submission in plan.submissions]
        state.step_written(plan)
        return True
