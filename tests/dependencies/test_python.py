"""What the code relies on in Python itself."""

from __future__ import annotations

import asyncio
import fcntl
import os
import queue
import subprocess
import sys
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MemberDescriptorType
from zoneinfo import ZoneInfo

import pytest

from tests.helpers import in_a_thread


def test_an_int_of_thousands_of_digits_has_no_repr_and_its_bits_and_bytes_all_the_same() -> None:
    huge = 10**5000
    with pytest.raises(ValueError, match="4300 digits"):
        repr(huge)
    assert huge.bit_length() == 16_610
    assert int.from_bytes(huge.to_bytes(2077, "big"), "big") == huge
    assert sys.int_info.str_digits_check_threshold == 640


def test_datetimes_of_one_zone_are_equal_by_the_wall_clock_and_not_by_the_instant() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2024, 10, 27, 2, 30, tzinfo=berlin)
    second = first.replace(fold=1)
    assert first == second
    assert first.astimezone(UTC) != second.astimezone(UTC)


def test_a_set_of_texts_is_in_another_order_in_another_process() -> None:
    program = "print(list(frozenset(map(str, range(50)))))"
    shown = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(shown) == 2


def test_a_flock_belongs_to_the_open_file_and_not_to_the_process(tmp_path: Path) -> None:
    path = tmp_path / "LOCK"
    with path.open("w") as one:
        fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with path.open("w") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Closing the other one has not released it, as it would with fcntl.lockf.
        with path.open("w") as third, pytest.raises(BlockingIOError):
            fcntl.flock(third, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_slot_of_a_frozen_dataclass_can_be_filled_through_its_descriptor() -> None:
    @dataclass(frozen=True, slots=True)
    class Price:
        amount: int

    assert isinstance(Price.__dict__["amount"], MemberDescriptorType)
    price = object.__new__(Price)
    Price.__dict__["amount"].__set__(price, 7)
    assert price == Price(7)


def test_a_closed_loop_says_so_to_the_thread_that_would_wake_it() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        in_a_thread(lambda: loop.call_soon_threadsafe(print))


def test_a_future_takes_one_outcome_and_none_once_it_was_cancelled() -> None:
    future: Future[int] = Future()
    future.set_result(1)
    with pytest.raises(InvalidStateError):
        future.set_result(2)
    cancelled: Future[int] = Future()
    cancelled.cancel()
    with pytest.raises(InvalidStateError):
        cancelled.set_result(1)


def test_a_simple_queue_is_never_full_and_first_in_first_out() -> None:
    line: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(10_000):
        line.put(number)
    assert line.qsize() == 10_000
    assert [line.get_nowait() for _ in range(10_000)] == list(range(10_000))
