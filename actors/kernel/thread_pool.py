"""Threads for jobs that may wait for each other: as many as wait, and no more than the processor has use for.

A job that finds no thread idle begins one, up to a few. Beyond those it is nobody's turn to begin one for
each job, as most are over in an instant; a watcher does so for jobs that have been waiting. It runs while
there are such only.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from storage import LimitReached

__all__ = ["CORE_THREADS", "ThreadPool", "threads_to_start", "Job"]

CORE_THREADS = 4
"""Threads that are begun at once for jobs that find none idle."""
CHECK_INTERVAL = 0.01
"""Seconds from one look at the jobs that wait to the next."""
BUSY_SHARE = 0.8
"""The share of one processor from which on more threads are held to be of no use."""
IDLE_SECONDS = 10.0
"""Seconds that a thread stays without a job."""

logger = logging.getLogger("onewriter.middleware")


def threads_to_start(waiting: int, threads: int, busy: float, idle_looks: int) -> int:
    """How many threads to begin where so many jobs have been waiting since the look before.

    `busy` is the share of a processor that the process has used since then, `idle_looks` the number of looks
    since a job was done or a thread was begun. While the processor is free they double. Else the jobs at hand
    may all be calculating, and more threads would be in each other's way; or they may wait for those behind
    them, so one is begun now and then.
    """
    if waiting <= 0:
        return 0
    if busy < BUSY_SHARE:
        return min(waiting, max(threads, 1))
    return 1 if idle_looks >= threads else 0


class _Sleeper:
    """A thread of the pool, as those see it that begin it, and that wake it when it has nothing to do."""

    __slots__ = ("_latch", "begun", "job")

    def __init__(self) -> None:
        self.begun = False
        self.job: Job | None = None
        self._latch = threading.Lock()
        self._latch.acquire()

    def wake(self) -> None:
        """Let it go on; once for each time that it was found asleep."""
        self._latch.release()

    def sleep(self, seconds: float = -1) -> bool:
        """Whether it was woken within so many seconds; its own thread."""
        return self._latch.acquire(timeout=seconds)


class ThreadPool:
    """Any thread submits, and any closes. The threads are daemons."""

    def __init__(self, name: str, core: int = CORE_THREADS, idle_seconds: float = IDLE_SECONDS) -> None:
        self._name = name
        self._core = core
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._over = threading.Condition(self._lock)
        self._jobs: deque[Job] = deque()
        # The last to have become idle is the first to be given a job, so that the others may end.
        self._idle: list[_Sleeper] = []
        # What failed, or was interrupted, when a thread was begun does not tell whether it runs. One that is
        # no longer expected when it does has nothing to do.
        self._expected: set[_Sleeper] = set()
        self._mine: set[int] = set()
        self._begun = 0
        self._queued = 0
        self._done = 0
        self._watcher: _Sleeper | None = None
        self._resting: _Sleeper | None = None
        self._closed = False

    def __len__(self) -> int:
        """The threads that there are, or are being begun."""
        return len(self._expected) + len(self._mine)

    def has(self, thread: int) -> bool:
        """Whether the thread with this identifier is one of these."""
        return thread in self._mine

    def submit(self, job: Job, /) -> None:
        """Have a job done as soon as a thread is free, or one more is begun; never waits for that.

        Raises `RuntimeError` after `close`, and what interrupts it; then the job is not done.
        """
        thread = watcher = None
        try:
            with self._lock:
                if self._closed:
                    raise RuntimeError("the pool is closed")
                if self._idle:
                    idle = self._idle.pop()
                    idle.job = job
                    idle.wake()
                    return
                self._jobs.append(job)
                self._queued += 1
                if len(self) < self._core:
                    thread = _Sleeper()
                    self._expected.add(thread)
                elif self._resting is not None:
                    self._resting.wake()
                    self._resting = None
                elif self._watcher is None:
                    watcher = _Sleeper()
                    self._watcher = watcher
            if thread is not None:
                self._begin(thread)
            elif watcher is not None and not self._started(self._watch, watcher):
                self._no_watcher(watcher)
        except BaseException:
            self._take_back(job, thread, watcher)
            raise

    def close(self, timeout: float, asker: int | None = None) -> bool:
        """Take no more jobs, and wait up to `timeout` seconds for those at hand; whether all were done.

        Those that no thread has begun by then are given up. Called by a job, or for one, it does not wait:
        `asker` identifies the thread that waits for this call, where that is another one. May be called
        again.
        """
        end = time.monotonic() + timeout
        with self._lock:
            self._closed = True
            while self._idle:
                self._idle.pop().wake()
            if self._resting is not None:
                self._resting.wake()
                self._resting = None
            if not self.has(threading.get_ident() if asker is None else asker):
                while len(self) and (left := end - time.monotonic()) > 0:
                    self._over.wait(left)
            given_up = list(self._jobs)
            self._jobs.clear()
            done = not len(self)
        for job in given_up:
            job.give_up()
        return done

    # -- beginning threads -------------------------------------------------------------------
    def _begin(self, thread: _Sleeper) -> bool:
        """Begin a thread that is expected; False if none is available. Without any, what waits fails."""
        if self._started(self._work, thread):
            return True
        failed: list[Job] = []
        with self._lock:
            if thread.begun:
                return True
            self._expected.discard(thread)
            if not len(self):
                failed += self._jobs
                self._jobs.clear()
                self._over.notify_all()
        for job in failed:
            job.fail(
                LimitReached(
                    "no thread can be had for what follows the yield of a middleware: the process or "
                    "the machine has as "
                    "many as it may, or no memory for a further stack; raise the limit (ulimit -u, the "
                    "container's limit "
                    "of processes, threading.stack_size)"
                )
            )
        return False

    def _started(self, target: Callable[[_Sleeper], None], thread: _Sleeper) -> bool:
        """Whether it was; False where there is no thread for it, or no memory. Raises what
        interrupts that.
        """
        self._begun += 1
        try:
            threading.Thread(
                target=target, args=(thread,), name=f"{self._name}-{self._begun}", daemon=True
            ).start()
        except Exception as error:
            why = str(error) or type(error).__name__
            logger.warning("no thread can be started for middleware, %d jobs wait: %s", len(self._jobs), why)
            return False
        return True

    def _no_watcher(self, watcher: _Sleeper) -> None:
        """It did not begin: the next job that finds no thread begins one."""
        with self._lock:
            if self._watcher is watcher and not watcher.begun:
                self._watcher = None

    def _take_back(self, job: Job, thread: _Sleeper | None, watcher: _Sleeper | None) -> None:
        """A submit was interrupted: whoever called it is told so, and the job is theirs again unless it is
        under way.
        """
        if watcher is not None:
            self._no_watcher(watcher)
        with self._lock:
            if job in self._jobs:
                self._jobs.remove(job)
            if thread is not None:
                self._expected.discard(thread)
        self._see_to_what_waits()

    def _see_to_what_waits(self) -> None:
        """Begin a thread for jobs that counted on one that is gone."""
        with self._lock:
            if not self._jobs or len(self):
                self._over.notify_all()
                return
            thread = _Sleeper()
            self._expected.add(thread)
        self._begin(thread)

    # -- the watcher's thread ----------------------------------------------------------------
    def _watch(self, me: _Sleeper) -> None:
        with self._lock:
            if self._watcher is not me:
                return
            me.begun = True
        try:
            while self._rest(me):
                self._begin_more(me)
        except BaseException:
            with self._lock:
                if self._resting is me:
                    self._resting = None
                self._watcher = None
            logger.exception(
                "the watcher of %s ended; the next job that finds no thread begins another", self._name
            )

    def _begin_more(self, me: _Sleeper) -> None:
        """Look again and again, and begin threads, while jobs wait."""
        queued, done, cpu, at, idle_looks = (
            self._queued,
            self._done,
            time.process_time(),
            time.monotonic(),
            0,
        )
        while self._jobs:
            me.sleep(CHECK_INTERVAL)
            now, cpu_now = time.monotonic(), time.process_time()
            waiting = len(self._jobs) - (self._queued - queued)
            idle_looks = 0 if self._done != done else idle_looks + 1
            busy = (cpu_now - cpu) / max(now - at, 1e-9)
            queued, done, cpu, at = self._queued, self._done, cpu_now, now
            for _ in range(threads_to_start(waiting, len(self), busy, idle_looks)):
                idle_looks = 0
                thread = _Sleeper()
                with self._lock:
                    self._expected.add(thread)
                if not self._begin(thread):
                    break

    def _rest(self, me: _Sleeper) -> bool:
        """Sleep until jobs wait; False where the watcher is to end, as none have for long, or all is over."""
        with self._lock:
            if not self._jobs and not self._closed:
                self._resting = me
            elif not self._jobs:
                self._watcher = None
                return False
            else:
                return True
        if not me.sleep(self._idle_seconds):
            with self._lock:
                if self._resting is me:
                    self._resting = None
                    self._watcher = None
                    return False
            me.sleep()  # it was woken at that moment
        return True

    # -- the pool's threads ------------------------------------------------------------------
    def _work(self, me: _Sleeper) -> None:
        with self._lock:
            if me not in self._expected:
                return
            self._mine.add(threading.get_ident())
            self._expected.discard(me)
            me.begun = True
        try:
            job = self._next(me)
            while job is not None:
                try:
                    job()
                except BaseException as error:  # Also sys.exit(): it must not take the thread along.
                    job.fail(error)
                self._done += 1
                del job  # this thread may sleep for long
                job = self._next(me)
        finally:
            with self._lock:
                if me in self._idle:
                    self._idle.remove(me)
                self._mine.discard(threading.get_ident())
            self._see_to_what_waits()

    def _next(self, me: _Sleeper) -> Job | None:
        """The next job; None where this thread is to end."""
        with self._lock:
            if self._jobs:
                return self._jobs.popleft()
            if self._closed:
                return None
            self._idle.append(me)
        if not me.sleep(self._idle_seconds):
            with self._lock:
                if me in self._idle:
                    self._idle.remove(me)
                    return None
            me.sleep()  # it was given one at that moment
        job, me.job = me.job, None
        return job


class Job(Protocol):
    """What a pool is given: it is called once, in a thread of the pool's, or else it is given up."""

    def __call__(self) -> None: ...

    def give_up(self) -> None:
        """It will not be called: the pool was closed before a thread was free. Any thread."""

    def fail(self, error: BaseException, /) -> None:
        """It will not be called for another reason, or it raised. Any thread."""
