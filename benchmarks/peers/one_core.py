"""Another peer whose callers, and all other threads of this process, keep to one core while they work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.cores import on_one_core
from benchmarks.domain import Command
from benchmarks.peers.base import CommandPeer


class OnOneCore(CommandPeer):
    """The peer that `make` gives, on one core while it works; its child processes are free."""

    def __init__(self, make: Callable[[], CommandPeer]) -> None:
        self._peer = make()
        self.promises = f"{self._peer.promises}; this process on one core"

    def setup(self, folder: Path) -> None:
        self._peer.setup(folder)

    def commands(self, shares: Sequence[Sequence[Command]]) -> float:
        with on_one_core():
            return self._peer.commands(shares)

    def settle(self) -> float | None:
        return self._peer.settle()

    def written(self) -> int:
        return self._peer.written()

    def close(self) -> None:
        self._peer.close()
