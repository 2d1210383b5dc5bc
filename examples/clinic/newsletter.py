"""A letter to patients who asked for it, in a store of its own: who leaves is forgotten."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

from actors import Access, Domain, Forbidden, Personal, System

newsletter = Domain("newsletter")


@newsletter.state(stream="reader-{reader}")
class Subscribed:
    reader: str
    address: Annotated[str, Personal(subject="reader")]


@newsletter.event(Subscribed)
class ReaderJoined:
    reader: str
    address: Annotated[str, Personal(subject="reader")]


@newsletter.command(Subscribed)
class Join:
    reader: str
    address: Annotated[str, Personal(subject="reader")]


@newsletter.guard
def nobody_writes_past_commands(access: Access) -> None:
    if access.kind == "append":
        raise Forbidden("who joins does so by a command")


@newsletter.decide
def join(state: Subscribed | None, command: Join) -> Iterator[ReaderJoined]:
    if state is None:
        yield ReaderJoined(command.reader, command.address)


@newsletter.evolve
def joined(state: None, event: ReaderJoined) -> Subscribed:
    return Subscribed(event.reader, event.address)


def editor(path: Path, backups: Path) -> Iterator[str]:
    """Two people join and one leaves; the store is backed up, and its file made small again."""
    key = path.with_suffix(".key")
    if not key.exists():
        key.touch(0o600)
        key.write_text(secrets.token_hex(32))
    with System.open(path, newsletter, replicas=1, master_key=partial(mask, key)) as system:
        system.execute_many([Join("ann", "ann@example.org"), Join("bob", "bob@example.org")])
        try:
            system.append("reader-cyd", [ReaderJoined("cyd", "cyd@example.org")])
        except Forbidden as error:
            yield str(error)
        system.forget("bob", wait=True, why="asked for it")
        [left] = [one.event for one in system.stream("reader-bob") if isinstance(one.event, ReaderJoined)]
        system.close_streams("reader-bob", who="editor", why="left")
        [closed] = system.closed_streams()
        done = system.archive(system.plan_archive(), who="editor", why="left")
        loss = system.plan_removal(done.number).losses
        system.remove_archive(done.number, lose=[one.label for one in loss], who="editor", why="not needed")
        yield f"{closed.stream} is gone: archive {system.archives()[0].state}"
        system.reopen_streams(closed.stream, who="editor", why="may come back")
        made = system.backup(backups)
        system.compact()
        info = system.info()
        yield f"bob is at {left.address}, {info.events} events, {info.streams} streams"
        yield f"backed up to position {made.position}"


def mask(key: Path, _action: str, data: bytes) -> bytes:
    """In place of a key service here: wraps and unwraps 32 bytes. A real one keeps its key to itself."""
    return bytes(one ^ other for one, other in zip(data, bytes.fromhex(key.read_text()), strict=True))
