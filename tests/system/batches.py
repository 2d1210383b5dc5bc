"""Making several requests one batch of the writer's, whatever the domain is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from actors import System
from actors.writer.command_handler import CommandHandler
from tests import inside
from tests.helpers import PATIENCE


@contextmanager
def held_batch(system: System, first: Any = None) -> Iterator[None]:
    """What is handed over in the block waits until its end, and is then one batch.

    The writer waits in a batch before it, which is a step that writes nothing, or the command `first`.
    """
    entered, release = threading.Event(), threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        original = CommandHandler._handle

        def held(self: CommandHandler, batch: list[Any]) -> int:
            entered.set()
            assert release.wait(PATIENCE)
            return original(self, batch)

        patch.setattr(CommandHandler, "_handle", held)
        plug = inside.step(system, [], lambda _outcomes: ()) if first is None else system.submit(first)
        assert entered.wait(PATIENCE)
    try:
        yield
    finally:
        release.set()
    plug.result(PATIENCE)
