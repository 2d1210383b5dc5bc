from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def small_heap(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Benchmarks collect garbage before each run: here, not all that the whole suite has made."""
    gc.collect()
    gc.freeze()
    with monkeypatch.context() as patched:
        # They would have it looked at again by the next run.
        patched.setattr(gc, "unfreeze", lambda: None)
        yield
    gc.unfreeze()
