"""Records histories: client threads that write and ask at every level, while actors are killed and replicas
stand still.

What each client does follows from a seed; how they meet is the scheduler's. Everything here runs in threads
of the test, but for the listeners, which note commits in the writer's thread and hold replicas up in their
own.
"""

from __future__ import annotations

import asyncio
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from actors import (
    CommandTimeout,
    CommitUncertain,
    ConsistencyTimeout,
    DeadlineExceeded,
    QueryFailed,
    QueryTimeout,
    Session,
    System,
)
from tests.consistency.history import Commit, History, Level, Read, Timeline, Write
from tests.consistency.registers import (
    ACCOUNTS,
    REGISTERS,
    SUMS,
    Engines,
    Everything,
    Kept,
    Move,
    One,
    Put,
    PutAll,
    changes,
    command_ends,
    mirror,
)
from tests.helpers import PATIENCE

__all__ = ["LEVELS", "Recorder"]

LEVELS = ("strong", "eventual", "session", "after", "positions", "seconds")

UNKNOWN = (CommandTimeout, CommitUncertain)
UNANSWERED = (ConsistencyTimeout, QueryTimeout, DeadlineExceeded)
MID_QUERY = "the query actor stopped in the middle"

STALL = 2.0
"""Seconds after which a replica goes on in any case, should too few operations be left to wait for."""


class Pace:
    """Counts operations, so that trouble comes and goes by their number and never by time."""

    def __init__(self) -> None:
        self.count = 0
        self.over = False
        self._moved = threading.Condition()

    def one_more(self) -> None:
        """One operation is done."""
        with self._moved:
            self.count += 1
            self._moved.notify_all()

    def end(self) -> None:
        """Nothing comes any more: nobody is to wait."""
        with self._moved:
            self.over = True
            self._moved.notify_all()

    def wait_for(self, more: int, timeout: float = PATIENCE) -> bool:
        """Wait until so many more operations are done; whether they are, and not all is over."""
        with self._moved:
            goal = self.count + more
            return self._moved.wait_for(lambda: self.over or self.count >= goal, timeout) and not self.over


class Stalls:
    """Has one replica after another stand still for a while after it applied something, so that it lags."""

    def __init__(self, pace: Pace, dice: random.Random, chance: float, length: int) -> None:
        self._pace = pace
        self._dice = dice
        self._chance = chance
        self._length = length
        self._standing = threading.Lock()
        self.count = 0

    def applied(self, replica: str, position: int, lag: float) -> None:
        """A listener of `on_applied`. At most one replica stands still, so that the others can answer."""
        if self._dice.random() < self._chance and self._standing.acquire(blocking=False):
            try:
                self.count += 1
                self._pace.wait_for(self._length, STALL)
            finally:
                self._standing.release()


@dataclass
class Recorder:
    """One run: `record` gives its history. `seed` decides what each client does."""

    system: System
    seed: int
    clients: int = 6
    stall_chance: float = 0.1
    stall_length: int = 30
    kill_every: int = 40
    levels: tuple[str, ...] = LEVELS
    hand_on: float = 0.02
    query_timeout: float = 10.0
    pace: Pace = field(default_factory=Pace)
    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)
    """How often each level was answered, each error met, each actor killed."""

    def record(self, operations: int) -> History:
        """Run about so many operations and return what happened. The system is to be fresh."""
        commits: list[Commit] = []
        self.system.on_committed(lambda first, last: commits.append(Commit(time.monotonic_ns(), last)))
        stalls = Stalls(self.pace, random.Random(f"{self.seed}-stalls"), self.stall_chance, self.stall_length)
        self.system.on_applied(stalls.applied)
        self._latest = 0
        with ThreadPoolExecutor(self.clients + 1) as threads:
            chaos = threads.submit(self._kill)
            clients = [
                threads.submit(self._client, number, operations // self.clients)
                for number in range(self.clients)
            ]
            for client in clients:
                client.exception()
            self.pace.end()
            for thread in (*clients, chaos):
                thread.result()
        self.met["stalls"] = stalls.count
        head = self.system.position
        events = list(self.system.subscribe(until=head)) if head else []
        timeline = Timeline(changes(events), commits, command_ends(events))
        return History(timeline, self.writes, self.reads, SUMS)

    # -- trouble ---------------------------------------------------------------------------------------------
    def _kill(self) -> None:
        dice = random.Random(f"{self.seed}-kills")
        replicas = self.system.replica_names
        askers = [actor.name for actor in self.system.health().actors if ".query-" in actor.name]
        names = [*replicas, *replicas, *askers, "sync", "command-handler"]
        while self.kill_every and self.pace.wait_for(dice.randrange(1, 2 * self.kill_every)):
            if dice.random() < 0.1:
                self.system.rebuild(mirror)
                self.met["rebuilds"] += 1
            name = dice.choice(names)
            assert self.system.kill(name, PATIENCE), f"{name} did not come back"
            self.met["killed " + re.sub(r"-\d+", "", name)] += 1

    # -- clients ---------------------------------------------------------------------------------------------
    def _client(self, client: int, operations: int) -> None:
        dice = random.Random(f"{self.seed}-{client}")
        session = self.system.session()
        with asyncio.Runner() as runner, self._failing_ends():
            for number in range(operations):
                if dice.random() < self.hand_on:
                    # Another process goes on with it.
                    session = self.system.session(session.token)
                by = session if dice.random() < 0.5 else None
                if dice.random() < 0.4:
                    self._write(client, number, dice, by)
                else:
                    self._read(client, dice, session, runner)
                self.pace.one_more()

    @contextmanager
    def _failing_ends(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            # Nobody is to wait for what this client would have done.
            self.pace.end()
            raise

    def _write(self, client: int, number: int, dice: random.Random, session: Session | None) -> None:
        names: tuple[str, ...] = ()
        value = number * self.clients + client
        command: Put | PutAll | Move
        chance = dice.random()
        if chance < 0.7:
            names = tuple(dice.sample(REGISTERS, 1 if chance < 0.5 else dice.randrange(2, len(REGISTERS))))
            command = Put(names[0], value) if chance < 0.5 else PutAll(names[0], names, value)
        else:
            owner, to = dice.sample(ACCOUNTS, 2)
            command = Move(owner, to, dice.randrange(1, 100))
        hurry = dice.random() < 0.1
        asks_again = dice.random() < 0.5
        execute: Any = self.system.execute if session is None else session.execute
        invoked = time.monotonic_ns()
        try:
            try:
                receipt = execute(command, timeout=0.0002 if hurry else PATIENCE)
            except UNKNOWN as error:
                self.met[type(error).__name__] += 1
                if not asks_again:
                    raise
                receipt = execute(command, command_id=error.command_id, timeout=PATIENCE)
        except UNKNOWN:
            position = None
            returned = None
        else:
            returned = time.monotonic_ns()
            # What another client was told of: its own next query may ask for it.
            self._latest = position = receipt.position
        by = None if session is None else client
        if not names:
            self.writes.append(Write(client, invoked, returned, position, None, None, by))
        for after, name in enumerate(reversed(names)):
            at = None if position is None else position - after
            self.writes.append(Write(client, invoked, returned, at, f"register/{name}", value, by))

    def _read(self, client: int, dice: random.Random, session: Session, runner: asyncio.Runner) -> None:
        kind = dice.choice([One, Kept, Everything, Engines])
        query = kind(dice.choice(REGISTERS)) if kind in (One, Kept) else kind()
        name = dice.choice(self.levels)
        by_loop = dice.random() < 0.1
        hurry = dice.random() < 0.02
        options: dict[str, Any] = {"timeout": 0.0002 if hurry else self.query_timeout}
        level = Level()
        match name:
            case "strong":
                options["consistency"] = "strong"
                level = Level(strong=True)
            case "session":
                level = Level(session=client)
            case "after":
                options["after"] = self._latest
                level = Level(after=options["after"])
            case "positions":
                options["max_lag"] = positions = dice.choice([0, 1, 5])
                level = Level(lag_positions=positions)
            case "seconds":
                options["max_lag"] = seconds = dice.choice([0.0, 0.002, 0.02])
                level = Level(lag_seconds=seconds)
        invoked = time.monotonic_ns()
        try:
            if name == "session":
                cells = (
                    runner.run(session.aquery(query, **options))
                    if by_loop
                    else session.query(query, **options)
                )
                seen = session.position
            elif by_loop:
                cells, seen = runner.run(self.system.aquery_at(query, **options))
            else:
                cells, seen = self.system.query_at(query, **options)
        except UNANSWERED as error:
            self.met[type(error).__name__ if hurry else "no answer in good time"] += 1
            return
        except QueryFailed as error:
            if MID_QUERY not in str(error):
                raise
            self.met["stopped in the middle"] += 1
            return
        returned = time.monotonic_ns()
        self.met[name] += 1
        self.reads.append(Read(client, invoked, returned, tuple(map(tuple, cells)), level, seen))
