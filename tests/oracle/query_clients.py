"""Clients that ask the query domain in every way, write to it, and make trouble, each in a thread of its own.

Nobody waits for a time: writers and troublemakers go on when so many answers more are there.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from actors import StorageError, ViewExpired
from tests.helpers import PATIENCE, wait_until
from tests.oracle.query_domain import KINDS, TWINS, At, Dropped, Put, memory, rows, sql
from tests.oracle.query_load import GROUPS, WHATS, Answered, Load
from tests.oracle.value_forms import shown_exactly

KEYS = [f"k{number}" for number in range(30)] + ["a", "a\0", "a\0b", "\xff"]


def reader(load: Load, number: int) -> None:
    """Asks one by one, several together, in a session, and by views."""
    rng = load.rng(f"reader-{number}")
    session = load.system.session()
    ways = [_at] * 6 + [_many] * 2 + [_view]
    while load.goes_on():
        if rng.random() < 0.2:
            session = _in_session(load, rng, session)
        else:
            rng.choice(ways)(load, rng)


def _at(load: Load, rng: random.Random) -> None:
    kind, query = load.query(rng)
    options, floor = load.level(rng)
    asked = shown_exactly(query)
    try:
        result, position = load.system.query_at(query, timeout=PATIENCE, **options)
    except Exception as error:
        load.failed({kind}, error)
    else:
        load.note(kind, query, asked, result, position, floor)


def _in_session(load: Load, rng: random.Random, session: Any) -> Any:
    kind, query = load.query(rng)
    asked, before = shown_exactly(query), session.position
    try:
        result = session.query(query, timeout=PATIENCE)
    except Exception as error:
        load.failed({kind}, error)
    else:
        # Its position is that of the last answer, which is no older than what it has seen.
        load.note(kind, query, asked, result, session.position, before)
    return session if rng.random() < 0.9 else load.system.session()


def _many(load: Load, rng: random.Random) -> None:
    several = [load.query(rng) for _ in range(rng.randrange(1, 5))]
    options, floor = load.level(rng)
    asked = [shown_exactly(query) for _, query in several]
    try:
        *results, position = load.system.query_many(
            [*(query for _, query in several), At()], timeout=PATIENCE, **options
        )
    except Exception as error:
        load.failed({"across"}, error)
    else:
        for (kind, query), before, result in zip(several, asked, results, strict=True):
            load.note(kind, query, before, result, position, floor)


def _view(load: Load, rng: random.Random) -> None:
    kind, query = load.query(rng, ["weights", "number", "every"])
    options, floor = load.level(rng)
    asked = shown_exactly(query)
    try:
        with load.system.view(rows, timeout=PATIENCE, **options) as view:
            position = view.position()
            answer = KINDS[kind].ask(view, query.argument)
    except ViewExpired:  # its replica was begun anew
        return
    given = KINDS[kind].expected({}, query)
    load.answers.append(Answered(kind, query, (*given[:-1], shown_exactly(answer)), position))
    if position < floor or shown_exactly(query) != asked:
        load.wrong.append(f"a view shows {position}, and {floor} was asked for")
    load.counted()


def coroutines(load: Load) -> None:
    """Asks several at a time from one event loop."""
    rng = load.rng("coroutines")

    async def ask() -> None:
        kind, query = load.query(rng)
        options, floor = load.level(rng)
        asked = shown_exactly(query)
        try:
            result, position = await load.system.aquery_at(query, timeout=PATIENCE, **options)
        except Exception as error:
            load.failed({kind}, error)
        else:
            load.note(kind, query, asked, result, position, floor)

    async def go_on() -> None:
        while load.goes_on():
            await asyncio.gather(*(ask() for _ in range(rng.randrange(1, 6))))

    asyncio.run(go_on())


def watcher(load: Load, number: int, kind: str) -> None:
    """Watches a query to the end of the round; a sick model's watch is begun again."""
    rng = load.rng(f"watcher-{number}")
    query = TWINS[kind][number % 2](rng.choice(GROUPS), rng.choice(WHATS)(), [])
    asked = shown_exactly(query)
    while True:
        try:
            with load.system.watch(query) as watch:
                load.watches[number] = watch
                for result in watch:
                    load.last[number] = (kind, query, shown_exactly(result))
                    load.note(kind, query, asked, result, watch.position, 0)
            return
        except StorageError as error:
            load.failed({kind}, error)


def writer(load: Load, number: int) -> None:
    rng = load.rng(f"writer-{number}")
    while load.goes_on():
        events: list[Any] = []
        for _ in range(rng.choice([1, 1, 1, 2, 6])):
            key = rng.choice(KEYS)
            words = " ".join(f"w{rng.choice(GROUPS)}" for _ in range(rng.randrange(3)))
            put = Put(key, rng.choice(GROUPS), words, rng.randrange(100))
            events.append(put if rng.random() < 0.75 else Dropped(key))
        load.system.append(f"entries-{number}", events)
        load.await_answers(rng.choice([1, 20, 100, 300]))


def troublemaker(load: Load) -> None:
    rng = load.rng("troublemaker")
    system = load.system
    while load.goes_on():
        load.await_answers(rng.randrange(20, 150))
        what = rng.choice(["kill", "kill", "remove", "remove", "remove", "remove", "rebuild", "sick"])
        name = rng.choice(system.replica_names)
        load.troubles.append(what)
        if what == "kill":
            system.kill(rng.choice([name, f"{name}.query-1", "sync"]), PATIENCE)
        elif what == "remove":
            wait_until(lambda: not any(one.excluded for one in system.health().replicas), 2 * PATIENCE)
            shutil.rmtree(Path(system.path) / "replicas" / name, ignore_errors=True)
        elif what == "rebuild":
            with suppress(StorageError):  # where the files are gone, or just made anew
                system.rebuild(rng.choice([rows, sql, memory]))
        else:
            load.sick.touch()
            load.await_answers(rng.randrange(20, 100))
            load.sick.unlink()
