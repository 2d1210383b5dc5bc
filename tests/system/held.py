"""Replicas that stand still for as long as a test wants: what is committed meanwhile is news to them."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from actors.replication.read_replica import ReadReplica
from tests.helpers import PATIENCE

__all__ = ["Held"]


class Held:
    """Holds replicas by name, from the next message that they get on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._gates: dict[str, threading.Event] = {}
        original = ReadReplica.on_receive

        def on_receive(replica: ReadReplica, message: Any) -> None:
            gate = self._gates.get(replica.name)
            assert gate is None or gate.wait(PATIENCE)
            original(replica, message)

        monkeypatch.setattr(ReadReplica, "on_receive", on_receive)

    def hold(self, *names: str) -> None:
        """Have these apply nothing from now on."""
        for name in names:
            self._gates[name] = threading.Event()

    def release(self) -> None:
        """Let all of them go on."""
        for gate in self._gates.values():
            gate.set()
        self._gates.clear()
