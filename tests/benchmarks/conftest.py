from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True)
def frozen_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Benchmarks collect garbage before each run: not what the whole suite has made, which stays frozen."""
    monkeypatch.setattr(gc, "unfreeze", lambda: None)
