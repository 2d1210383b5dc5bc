"""How far the replicas are, where they are in worker processes: in the parent as the workers say, in a worker as the parent says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from actors.replication.model_progress import NEVER
from actors.replication.progress import Progress
from actors.worker_processes.wire import protocol

__all__ = ["FarProgress", "ToldProgress"]


class FarProgress(Progress):
    """The parent's. A replica whose worker is gone keeps its place, and nobody asks it until it is back."""

    def __init__(
        self,
        head: int,
        models: Sequence[str],
        replicas: Sequence[str],
        placed: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(head, models, replicas, placed)
        self._floors: dict[str, int] = {}

    def out_of_reach(self, replica: str) -> None:
        """Its worker is gone."""
        with self._lock:
            entries = self.replicas[replica]
            if replica not in self._floors:
                self._floors[replica] = max((entry.floor for entry in entries.values()), default=0)
            for entry in entries.values():
                entry.floor = NEVER
            self._moved.notify_all()

    def back(self, replica: str, checkpoints: Sequence[tuple[str, int]]) -> None:
        """Another worker has opened it, and it is that far.

        One that lost what its readers have seen, or that was on its way back to that, is left out until it has all that
        is committed now.
        """
        with self._lock:
            former = self._floors.pop(replica, 0)
            entries = self.replicas[replica]
            at = dict(checkpoints)
            lost = any(position < entries[model].applied for model, position in at.items())
            lowest = min(at.values(), default=0)
            floor = self.head if lost or former > lowest else 0
            for model, entry in entries.items():
                entry.floor = floor
                entry.applied = at.get(model, 0)
        self.applied(replica, checkpoints)
        for model in list(self.replicas[replica]):
            self.look_again(model)


class ToldProgress(Progress):
    """A worker's: all that is published here is also told to the parent."""

    def __init__(
        self,
        head: int,
        replica: str,
        models: Sequence[str],
        say: Callable[..., None],
        say_applied: Callable[[Iterable[tuple[str, int]]], None],
        say_state: Callable[[], None],
    ) -> None:
        super().__init__(head, models, [replica])
        self._say = say
        self._say_applied = say_applied
        self._say_state = say_state

    def applied(self, replica: str, checkpoints: Iterable[tuple[str, int]]) -> None:
        """As `Progress.applied`."""
        checkpoints = list(checkpoints)
        super().applied(replica, checkpoints)
        self._say_applied(checkpoints)

    def stopped(self, replica: str, model: str, position: int, why: str, *, readable: bool = False) -> None:
        """As `Progress.stopped`."""
        super().stopped(replica, model, position, why, readable=readable)
        self._say_state()
        self._say(protocol.STOPPED, model, position, why, readable)

    def look_again(self, model: str) -> None:
        """As `Progress.look_again`."""
        super().look_again(model)
        self._say_state()
        self._say(protocol.SWITCHED, model)

    def moved(self) -> None:
        """As `Progress.moved`."""
        super().moved()
        self._say_state()

    def leave_out(self, replica: str) -> None:
        """As `Progress.leave_out`."""
        super().leave_out(replica)
        self._say(protocol.LEFT_OUT)

    def begun_anew(self, replica: str) -> None:
        """As `Progress.begun_anew`."""
        super().begun_anew(replica)
        self._say_state()
        self._say(protocol.BEGUN_ANEW)
