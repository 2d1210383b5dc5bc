"""Every way to write a command, so that one test holds for all of them; and what their tests share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors import System
from tests.helpers import PATIENCE


def _execute(system: System, command: Any, **options: Any) -> Any:
    return system.execute(command, **options)


def _submit(system: System, command: Any, **options: Any) -> Any:
    return system.submit(command, **options).result(PATIENCE)


def _aexecute(system: System, command: Any, **options: Any) -> Any:
    return asyncio.run(system.aexecute(command, **options))


def _many(system: System, command: Any, **options: Any) -> Any:
    return system.execute_many([command], **options)[0]


def _amany(system: System, command: Any, **options: Any) -> Any:
    return asyncio.run(system.aexecute_many([command], **options))[0]


def _in_session(system: System, command: Any, **options: Any) -> Any:
    with system.session() as session:
        return session.execute(command, **options)


SINGLE = {"execute": _execute, "submit": _submit, "aexecute": _aexecute, "session": _in_session}
MANY = {"execute_many": _many, "aexecute_many": _amany}
WAYS = {**SINGLE, **MANY}
WAITING = {name: way for name, way in WAYS.items() if name != "submit"}

each_way = pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
each_single_way = pytest.mark.parametrize("way", SINGLE.values(), ids=list(SINGLE))
each_waiting_way = pytest.mark.parametrize("way", WAITING.values(), ids=list(WAITING))


def opened(store_path: Path, till: Any) -> System:
    """A system of the till that `till_of` made."""
    return System.open(store_path, till.domain, replicas=1)


def passed(seconds: float) -> Callable[[], bool]:
    """A condition that holds once so many seconds have passed."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def each_of(system: System, way: str, commands: Any, **options: Any) -> Any:
    """What became of these commands, handed over together in one of the ways of `each_many`."""
    if way == "execute_many":
        return system.execute_many(commands, **options)
    if way == "aexecute_many":
        return asyncio.run(system.aexecute_many(commands, **options))
    with system.session() as session:
        return session.execute_many(commands, **options)


each_many = pytest.mark.parametrize("way", ["execute_many", "aexecute_many", "session"])


def set_options(options: Any) -> Callable[[Any], Iterator[None]]:
    """A middleware that puts these in place of a call's options."""

    def around(call: Any) -> Iterator[None]:
        call.options = options
        yield

    return around


class AddedOptions:
    """A middleware that adds `options` to those of each call."""

    def __init__(self, options: dict[Any, Any]) -> None:
        self.options = options

    def around(self, call: Any) -> Iterator[None]:
        call.options = {**call.options, **self.options}
        yield


def refusing(error: type[BaseException], part: str) -> Callable[[Any], Iterator[None]]:
    """A middleware that raises this for what is named "locked", `part` "before" or "after" it is written."""

    def guard(call: Any) -> Iterator[None]:
        if part == "before" and call.message.name == "locked":
            raise error("not for you")
        yield
        if call.message.name == "locked":
            raise error("not for you")

    return guard
