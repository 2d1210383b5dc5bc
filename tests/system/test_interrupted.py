"""An interrupt at any line of `System.open` or `close`: nothing stays locked or running, and the store opens
again.

`ONEWRITER_INTERRUPTS` sets how many lines each test tries (8, and fewer with processes), 0 for every one;
`ONEWRITER_CRASH_SEED` which, and is printed.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

import pytest

import actors
from actors import LimitReached, System
from actors.kernel.uninterrupted_call import InterruptSafeEvent, UninterruptedCall
from actors.testing import open_system
from tests import preloaded
from tests.system.interrupting import (
    IGNORED_WARNINGS,
    PLACES,
    SEED,
    Interrupt,
    Place,
    check_nothing_is_left,
    left_behind,
    places,
    traced,
)
from tests.system.shelves import Books, Lend, shelves

pytestmark = IGNORED_WARNINGS

ROOT = Path(actors.__file__).parent
"""Where the library is."""

THREADS = pytest.mark.parametrize("workers", ["thread", "process"])
ERRORS = pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])


def some(workers: str) -> int:
    """How many places to try."""
    return PLACES if workers == "thread" or not PLACES else max(PLACES // 5, 1)


def opener(path: Path, workers: str) -> Callable[[], System]:
    return partial(System.open, path, shelves, replicas=1, map_size=1 << 24, workers=workers)


@pytest.fixture
def path(store_path: Path) -> Path:
    """A store with something in each model."""
    logging.getLogger("onewriter").setLevel(logging.CRITICAL)
    with opener(store_path, "thread")() as system:
        system.execute(Lend("dune"))
        system.wait_applied()
    return store_path


@pytest.fixture(autouse=True)
def quiet():
    preloaded.address()  # The process that worker processes are forked from is not left behind.
    yield
    logging.getLogger("onewriter").setLevel(logging.NOTSET)


def check_it_opens(open_it: Callable[[], System]) -> None:
    with open_it() as system:
        assert system.query(Books(), consistency="strong") == ["dune"]


@THREADS
@ERRORS
def test_an_opening_that_is_interrupted_keeps_nothing(
    path: Path, workers: str, error: type[BaseException]
) -> None:
    before = left_behind(path)
    open_it = opener(path, workers)
    opened: list[System] = []
    tried = places(lambda: opened.append(open_it()), some(workers))
    opened.pop().close()
    for place in tried:
        # Kept, as a notebook keeps the last error, with all that hangs on it.
        raised = Interrupt(place, error).run(lambda: opened.append(open_it()))
        if opened:
            opened.pop().close()
        check_it_opens(open_it)
        del raised
        check_nothing_is_left(path, before)


def test_a_new_store_that_is_interrupted_is_made_by_the_next_opening(tmp_path: Path) -> None:
    opened: list[System] = []
    before = left_behind(tmp_path)
    tried = places(lambda: opened.append(opener(tmp_path / "first", "thread")()))
    opened.pop().close()
    for number, place in enumerate(tried):
        open_it = opener(tmp_path / str(number), "thread")
        raised = Interrupt(place, KeyboardInterrupt).run(lambda: opened.append(open_it()))  # noqa: B023
        if opened:
            opened.pop().close()
        with open_it() as system:
            assert system.execute(Lend("dune")).position == 1
        del raised
        check_nothing_is_left(tmp_path, before)


@THREADS
@ERRORS
def test_a_closing_that_is_interrupted_is_finished_by_the_next_one(
    path: Path, workers: str, error: type[BaseException]
) -> None:
    before = left_behind(path)
    open_it = opener(path, workers)
    for place in places(open_it().close, some(workers)):
        system = open_it()
        raised = Interrupt(place, error).run(system.close)
        system.close()
        check_it_opens(open_it)
        del raised
        check_nothing_is_left(path, before)


def test_no_line_of_python_runs_between_the_opening_and_its_block(path: Path) -> None:
    seen: list[tuple[str, object]] = []

    def trace(frame: FrameType, event: str, _: object) -> object:
        seen.append((event, frame.f_code))
        return trace

    def block() -> None:
        with opener(path, "thread")():
            seen.append(("inside", None))

    traced(trace, block)
    inside = seen.index(("inside", None))
    opened = max(at for at in range(inside) if seen[at] == ("return", System.open.__func__.__code__))
    assert {code for _, code in seen[opened + 1 : inside]} == {block.__code__}


@ERRORS
def test_a_block_that_is_interrupted_at_its_end_is_closed_all_the_same(
    path: Path, error: type[BaseException]
) -> None:
    before = left_behind(path)
    open_it = opener(path, "thread")

    def block() -> None:
        with open_it():
            pass

    names = (
        "System.__exit__",
        "System.close",
        "System._new_closing",
        "UninterruptedCall",
        "InterruptSafeEvent",
    )
    ending = [one for one in places(block, 0) if ours(one) and one.code.co_qualname.startswith(names)]
    # Out of reach: where `__exit__` begins, before anything in it can help. Its `try` is no place for a
    # signal.
    begins = [one for one in ending if one.code is System.__exit__.__code__][:2]
    ending = [one for one in ending if one not in begins]
    assert len(ending) > 20
    for place in ending if not PLACES else random.Random(SEED).sample(ending, PLACES):
        raised = Interrupt(place, error).run(block)
        check_nothing_is_left(path, before)
        check_it_opens(open_it)
        del raised


def ours(place: Place) -> bool:
    """Whether it is in a module of this library."""
    return Path(place.code.co_filename).is_relative_to(ROOT)


def test_the_test_kit_s_system_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    opened: list[System] = []
    before = left_behind(tmp_path)
    tried = places(lambda: opened.append(open_system(shelves)), max(PLACES // 2, 1) if PLACES else 0)
    opened.pop().close()
    for place in tried:
        raised = Interrupt(place, KeyboardInterrupt).run(lambda: opened.append(open_system(shelves)))
        if opened:
            opened.pop().close()
        assert list(tmp_path.iterdir()) == []
        del raised
        check_nothing_is_left(tmp_path, before)


@pytest.mark.parametrize("name", ["ReplicaStore.__init__", "Projector._look", "System.__init__"])
def test_ctrl_c_there_leaves_no_store_locked_by_its_own_process(path: Path, name: str) -> None:
    open_it = opener(path, "thread")
    opened: list[System] = []
    [first, *_] = [one for one in places(lambda: opened.append(open_it()), 0) if one.code.co_qualname == name]
    opened.pop().close()
    raised = Interrupt(first, KeyboardInterrupt).run(open_it)
    assert isinstance(raised, KeyboardInterrupt)
    check_it_opens(open_it)


# -- the parts -----------------------------------------------------------------------------------------------
def test_work_that_nothing_disturbs_is_done_once_and_tells_its_error_once() -> None:
    calls: list[str] = []

    def work() -> None:
        calls.append(threading.current_thread().name)
        raise LimitReached("enough")

    errand = UninterruptedCall("errand", work)
    with pytest.raises(LimitReached):
        errand.run()
    errand.start()
    assert errand.wait(10)
    errand.raise_error()
    assert calls == ["errand"]
    assert not errand.was_interrupted


def test_work_is_done_by_the_caller_where_no_thread_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    calls: list[int] = []
    errand = UninterruptedCall("errand", lambda: calls.append(threading.get_ident()))
    with monkeypatch.context() as patch:
        patch.setattr("actors.kernel.uninterrupted_call._thread.start_new_thread", none)
        errand.run()
    assert calls == [threading.get_ident()]


def test_work_that_is_given_up_before_it_begins_never_does() -> None:
    calls: list[int] = []
    errand = UninterruptedCall("errand", lambda: calls.append(1))
    errand.cancel()
    errand.run()
    assert calls == []


def test_a_flag_lets_everybody_through_once_it_is_set() -> None:
    flag = InterruptSafeEvent()
    assert not flag.wait(0.0)
    threads = [threading.Thread(target=flag.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    flag.set()
    flag.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    flag.clear()
    assert not flag.is_set()
    assert not flag.wait(0.0)


def test_whoever_sets_a_flag_never_waits_wherever_a_wait_for_it_was_interrupted() -> None:
    flag = InterruptSafeEvent()
    for place in places(lambda: flag.wait(0.0), 0):
        one = InterruptSafeEvent()
        Interrupt(place, KeyboardInterrupt).run(lambda: one.wait(0.0))  # noqa: B023
        setting = threading.Thread(target=one.set, daemon=True)
        setting.start()
        setting.join(10)
        assert not setting.is_alive(), place
        assert one.wait(0.0)
