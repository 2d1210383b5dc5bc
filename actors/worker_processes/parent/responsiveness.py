"""Whether one worker process answers, and how long it has not. The supervisor's thread checks; any thread
asks."""

from __future__ import annotations

from actors.worker_processes.parent.cpu_starvation import CpuStarvation
from actors.worker_processes.parent.heartbeat import Heartbeat

__all__ = ["Responsiveness"]


class Responsiveness:
    """Of one worker process."""

    def __init__(self, pid: int, limit: float, every: float) -> None:
        """A ping is due `every` so many seconds. The process is unresponsive after half of `limit`, and given
        up after all of it."""
        self._limit = limit
        self._heartbeat = Heartbeat(every)
        self._starvation = CpuStarvation(pid)

    def check(self, now: float, heard: bool) -> int | None:
        """The number of the ping to send, None if it is not time for one.

        Silence does not count while its answers are not `heard`, nor while the process gets no processor.
        """
        starved = self._heartbeat.silent > 0 and self._starvation.is_starved(now)
        return self._heartbeat.check(now, heard and not starved)

    def answered(self, number: int) -> None:
        """It answered the ping with this number. The thread that hears the worker."""
        self._heartbeat.answered(number)

    @property
    def silent(self) -> float:
        """Seconds for which it has not answered, 0.0 as long as it does."""
        return self._heartbeat.silent

    @property
    def unresponsive(self) -> bool:
        """Whether it has been silent for so long that it is not to be asked."""
        return self.silent > self._limit / 2

    @property
    def given_up(self) -> bool:
        """Whether it has been silent for so long that it is to be replaced."""
        return self.silent > self._limit
