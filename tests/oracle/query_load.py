"""What the clients of the query domain share: how they are seeded, what they were answered, and whether that
was right.

Each client is a thread with a random generator of its own, and notes what it was answered at which position.
"""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from actors import StorageError, System, Watch
from tests.helpers import PATIENCE, wait_until
from tests.oracle.query_domain import (
    KINDS,
    SICK,
    TWINS,
    Entries,
    Put,
    folded,
    sql,
)
from tests.oracle.value_forms import BERLIN, shown_exactly, spoil

WHATS: list[Callable[[], Any]] = [
    lambda: bytearray(b"\1\0"),
    lambda: b"\1\0",
    lambda: None,
    lambda: "a\0",
    lambda: "a",
    lambda: memoryview(bytearray(b"\1\0")),
    lambda: datetime(2026, 3, 28, 12, tzinfo=BERLIN),
    lambda: datetime(2026, 3, 28, 12, tzinfo=timezone(timedelta(hours=1))),
    lambda: datetime(2026, 10, 25, 2, 30, fold=1),
    lambda: [bytearray(b"x"), (frozenset({0, 8}), {"a": [datetime(2026, 7, 1, tzinfo=BERLIN)]})],
    lambda: [b"x", (frozenset({8, 0}), {"a": [datetime(2026, 7, 1, tzinfo=timezone(timedelta(hours=2)))]})],
    lambda: -0.0,
    lambda: 0,
    lambda: float("nan"),
    lambda: Decimal("1.0"),
    lambda: Decimal("1.00"),
    lambda: 2**1000,
    lambda: [[], {}, (), frozenset()],
]
"""What queries hold beside their argument: pairs of equal bytes, and what equals each other and has other
bytes.
"""

GROUPS = range(4)


class Answered(NamedTuple):
    """What a query gave, in the form of `shown_exactly`, and the position that it shows."""

    kind: str
    query: Any
    given: Any
    position: int


class Load:
    """What all clients share. `wrong` is what went wrong; the first of it ends the round."""

    def __init__(self, system: System, seed: int, seconds: float, sick: Path) -> None:
        self.system = system
        self.sick = sick
        self.answers: list[Answered] = []
        self.wrong: list[str] = []
        self.failed_sick = 0
        self.troubles: list[str] = []
        self.watches: dict[int, Watch[Any]] = {}
        self.last: dict[int, tuple[str, Any, Any]] = {}
        """The last result of each watch, by its number, with its query."""
        self._seed = seed
        self._end = time.monotonic() + seconds
        self._more = threading.Condition()
        self._count = 0
        self._threads: dict[Callable[..., None], list[threading.Thread]] = {}
        self.over = False

    def rng(self, name: str) -> random.Random:
        return random.Random(f"{self._seed}-{name}")

    def goes_on(self) -> bool:
        return not self.over and not self.wrong and time.monotonic() < self._end

    def start(self, client: Callable[..., None], *args: Any) -> None:
        def run() -> None:
            try:
                client(self, *args)
            except BaseException:
                self.wrong.append(f"{client.__name__}{args}:\n{traceback.format_exc()}")

        thread = threading.Thread(target=run, daemon=True)
        self._threads.setdefault(client, []).append(thread)
        thread.start()

    def join(self, *clients: Callable[..., None]) -> None:
        """Wait for these clients."""
        for client in clients:
            for thread in self._threads[client]:
                thread.join(3 * PATIENCE)
                if thread.is_alive():
                    self.wrong.append(f"a {client.__name__} is not answered")

    def await_answers(self, more: int) -> None:
        """Wait until so many more answers are there, or the round is over."""
        with self._more:
            until = self._count + more
            while self._count < until and self.goes_on():
                self._more.wait(0.2)

    def counted(self, number: int = 1) -> None:
        with self._more:
            self._count += number
            self._more.notify_all()

    # -- queries -----------------------------------------------------------------------------
    def query(self, rng: random.Random, kinds: list[str] | None = None) -> tuple[str, Any]:
        kind = rng.choice(kinds or [*KINDS, "steady", "steady"])
        cls = TWINS[kind][rng.random() < 0.6]
        # Some are asked often, so that the cache has them.
        what = rng.choice(WHATS[:2] if rng.random() < 0.4 else WHATS)
        return kind, cls(rng.choice(GROUPS), what(), [7] * rng.randrange(2))

    def level(self, rng: random.Random) -> tuple[dict[str, Any], int]:
        """How fresh an answer has to be, and the position that it shows at least."""
        head = self.system.position
        choice = rng.randrange(6)
        if choice == 0:
            return {"consistency": "strong"}, head
        if choice == 1:
            return {"after": head}, head
        if choice == 2:
            return {"max_lag": 3}, head - 3
        return {}, 0

    def note(self, kind: str, query: Any, asked: Any, result: Any, position: int, floor: int) -> None:
        """An answer; `asked` is how the query looked before."""
        if shown_exactly(query) != asked:
            self.wrong.append(f"{query} was changed by its run")
        if position < floor:
            self.wrong.append(f"{query} was answered at {position}, and asked for {floor}")
        self.answers.append(Answered(kind, query, shown_exactly(result), position))
        spoil(result)  # which is the caller's own
        self.counted()

    def failed(self, kinds: set[str], error: Exception) -> None:
        """Only who reads the sick model may fail, and for that."""
        if not (
            isinstance(error, StorageError)
            and SICK in str(error)
            and any(sql in KINDS[kind].models for kind in kinds)
        ):
            raise error
        self.failed_sick += 1
        self.counted()


# -- the end -------------------------------------------------------------------------------------------------
def states(system: System) -> list[Entries]:
    """The entries at each position, as a fold over the log has them."""
    found: list[Entries] = [{}]
    for recorded in system.subscribe(0, until=system.position):
        found.append(folded(found[-1], recorded.event))
    return found


def end_watches(load: Load) -> None:
    """Write a last event, wait until every watch has shown what it makes, and end them."""
    if load.wrong:
        load.over = True
        for watch in load.watches.values():
            watch.close()
        return
    load.system.append("entries-0", [Put("the last", group, "w0 w1 w2 w3", 77) for group in GROUPS])
    last = states(load.system)[-1]

    def shown() -> bool:
        return bool(load.wrong) or all(
            given == KINDS[kind].expected(last, query) for kind, query, given in list(load.last.values())
        )

    try:
        wait_until(shown, 2 * PATIENCE)
    except AssertionError:
        load.wrong.append(f"a watch has not shown the last result: {load.last}, and the entries are {last}")
    load.over = True
    for watch in load.watches.values():
        watch.close()


def wrong_answers(load: Load) -> list[str]:
    """Answers that are not what a fold over the log gives at their position; at most a few."""
    at = states(load.system)
    wrong = []
    for one in load.answers:
        want = KINDS[one.kind].expected(at[one.position], one.query)
        if one.given != want:
            wrong.append(f"{one.kind} {one.query} at {one.position}: {one.given}, and not {want}")
            if len(wrong) == 5:
                break
    return wrong
