"""When a worker process is pinged, not asked, and given up."""

from __future__ import annotations

import os

import pytest

from actors.worker_processes.parent.responsiveness import Responsiveness


@pytest.fixture
def starved(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The last one says whether the process gets no processor."""
    answers = [False]
    monkeypatch.setattr(
        "actors.worker_processes.parent.cpu_starvation.CpuStarvation.is_starved",
        lambda _self, _now: answers[-1],
    )
    return answers


def checked(process: Responsiveness, *times: float, heard: bool = True) -> list[int | None]:
    return [process.check(now, heard) for now in times]


def states(process: Responsiveness) -> tuple[bool, bool]:
    return process.unresponsive, process.given_up


def test_silence_makes_it_unresponsive_at_half_the_limit_and_given_up_after_all_of_it(
    starved: list[bool],
) -> None:
    process = Responsiveness(os.getpid(), limit=2.0, every=1.0)
    assert checked(process, 10.0, 10.4, 10.8) == [1, None, None]
    assert (process.silent, states(process)) == (pytest.approx(0.8), (False, False))
    checked(process, 11.2)
    assert states(process) == (True, False)
    checked(process, 11.6, 12.0, 12.4)
    assert states(process) == (True, True)
    process.answered(1)
    assert (process.silent, states(process)) == (0.0, (False, False))


def test_silence_does_not_count_while_nobody_hears_or_it_gets_no_processor(starved: list[bool]) -> None:
    process = Responsiveness(os.getpid(), limit=2.0, every=1.0)
    checked(process, 10.0, 10.4)
    silent = process.silent
    checked(process, 10.8, 11.2, heard=False)
    assert process.silent == silent
    starved.append(True)
    checked(process, 11.6, 12.0)
    assert process.silent == silent
    starved.append(False)
    checked(process, 12.4)
    assert process.silent > silent
