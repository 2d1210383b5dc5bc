"""What every test may use: the hypothesis profiles and the place for a store."""

from __future__ import annotations

import fcntl
import gc
import os
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import engine

from tests import forked_workers

# A busy machine makes single examples slow; how long a test may take is pytest's faulthandler_timeout.
_any_machine = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}

settings.register_profile("fast", max_examples=10, stateful_step_count=20, **_any_machine)
settings.register_profile("quick", max_examples=60, stateful_step_count=30, **_any_machine)
settings.register_profile("soak", max_examples=3000, stateful_step_count=100, **_any_machine)
# A failure that is still being made smaller when pytest's limit for a test is reached would never be shown.
engine.MAX_SHRINKING_SECONDS = 100

forked_workers.use()

settings.load_profile(os.environ.get("ONEWRITER_HYPOTHESIS_PROFILE", "quick"))


ROOT = Path(__file__).parents[1]

SLOW = (
    "tests/benchmarks",
    "tests/typing",
    "tests/consistency/test_histories.py",
    "tests/consistency/test_seeded_faults.py",
    "tests/demo/test_demo.py",
    "tests/demo/test_stopping.py",
    "tests/docs/test_examples.py",
    "tests/actors/cli/test_installed.py",
    "tests/actors/test_mypy_plugin.py",
    "tests/repl/test_terminal.py",
    "tests/repl/test_piped.py",
    "tests/system/test_interrupted.py",
    "tests/system/test_full_disk.py",
    "tests/system/test_process_workers.py",
    "tests/system/test_process_workers_care.py",
    "tests/system/test_closing.py",
    "tests/system/test_process_managers.py",
    "tests/system/test_faults.py",
)
"""What is marked `slow`, with all that runs replicas in worker processes: `make test-fast` leaves it out."""

WAITING = (
    "tests/system/test_stateful.py",
    "tests/consistency/test_histories.py",
    "tests/consistency/test_seeded_faults.py",
    "tests/system/test_hanging.py",
    "tests/system/test_sessions.py",
    "tests/system/test_attempts.py",
    "tests/system/test_faults.py",
    "tests/actors/cli/test_installed.py",
    "tests/oracle/test_table_systems.py",
)
"""What waits for disks and deadlines, for ten seconds a file and more, or is one long test: it begins first,
beside what works."""

ON_DISK = ("tests/storage/files", "tests/storage/backup")
"""What has its stores on a disk even where others have theirs in memory; so has all that is marked `kill`."""


def _is_of(path: Path, parts: tuple[str, ...]) -> bool:
    """Whether the file of a test is, or is below, one of these."""
    return path.relative_to(ROOT).as_posix().startswith(parts)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whole programs, and systems that start several processes; put first what waits the longest."""
    names = {path: path.relative_to(ROOT).as_posix() for path in {item.path for item in items}}
    for item in items:
        chosen = getattr(item, "callspec", None)
        in_processes = chosen is not None and "process" in chosen.params.values()
        if in_processes or names[item.path].startswith(SLOW):
            item.add_marker(pytest.mark.slow)
    begins = {name: number for number, name in enumerate(WAITING)}
    items.sort(key=lambda item: begins.get(names[item.path], len(WAITING)))


@pytest.fixture
def tmp_path(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """As pytest's, which may be in memory; on a disk for tests that kill processes and those of files."""
    in_memory = tmp_path.is_relative_to("/dev/shm")
    if not in_memory or not (request.node.get_closest_marker("kill") or _is_of(request.path, ON_DISK)):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="onewriter-test-", dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    """Where a test may have its store; nothing is there yet."""
    return tmp_path / "shop"


@pytest.fixture
def started_workers() -> Iterator[None]:
    """Has worker processes start as users' do, and not as forks of one that has imported the library."""
    with forked_workers.started():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without collecting garbage: next to all of what is made there stays."""
    gc.disable()
    try:
        with _one_after_the_other_at_first():
            return (yield)
    finally:
        gc.enable()


@contextmanager
def _one_after_the_other_at_first() -> Iterator[None]:
    """Where pytest has still to compile the tests, as in a new clone, one process does it, not all."""
    with open(__file__) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if sys.dont_write_bytecode or all(map(_is_compiled, ROOT.glob("tests/**/test_*.py"))):
            fcntl.flock(lock, fcntl.LOCK_UN)
        yield


def _is_compiled(test: Path) -> bool:
    """Whether pytest's bytecode of a test is there, and is no older than the test."""
    tag = f"{sys.implementation.cache_tag}-pytest-{pytest.__version__}"
    made = test.with_name("__pycache__") / f"{test.stem}.{tag}.pyc"
    return made.exists() and made.stat().st_mtime >= test.stat().st_mtime


def pytest_collection_finish() -> None:
    """Have the garbage collector leave alone what all tests are made of: it walks only what a test makes."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test printed and logged goes from one process to another, which lone surrogates do not."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report
