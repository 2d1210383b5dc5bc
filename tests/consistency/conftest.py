"""What the tests of histories share: a leader that stands still is soon succeeded."""

from __future__ import annotations

import pytest

from actors.replication import led_broadcast, sync


@pytest.fixture(autouse=True)
def succeeded_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that stands still while it projects for all is replaced after a tenth of a second, not a
    second: for that long every client waits, so that nothing happens which a history could show.
    """
    for module in (led_broadcast, sync):
        monkeypatch.setattr(module, "LEADER_SECONDS", 0.1)
