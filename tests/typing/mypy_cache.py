"""The cache of mypy that tests share: without it, each would have the standard library analysed again."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".mypy_cache" / "tests"


@contextmanager
def mypy_cache() -> Iterator[Path]:
    """Where the cache is, for one mypy at a time. All have to run with the settings of setup.cfg.

    mypy itself finds out what has changed since: sources, settings, the plugin and its own version.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield CACHE
