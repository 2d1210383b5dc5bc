"""`onewriter skip`, `unskip` and `skipped`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors import System
from actors.__main__ import main
from tests.helpers import wait_until
from tests.system.tallies import Tallies
from tests.system.test_skip import poisoned, stopped

HERE = "tests.system.test_skip_program:"
tallies = Tallies(1)
tallies.before = poisoned(7, 12)
faulty = tallies.domain
mended_tallies = Tallies(1)
mended = mended_tallies.domain


@pytest.fixture
def store(store_path: Path) -> Path:
    """A store of twenty numbers, whose model is stopped at the seventh on both replicas."""
    with System.open(store_path, faulty, replicas=2) as system:
        tallies.note(system, *range(1, 21))
        wait_until(lambda: stopped(system) == [7, 7])
    return store_path


def run(*arguments: object) -> int:
    return main([*map(str, arguments)])


def at(store: Path, command: str, position: int, domain: str = "faulty", *more: str) -> int:
    return run(command, store, "tally", position, "--domain", HERE + domain, *more)


def test_each_event_that_stops_the_model_is_skipped_and_listed_and_counts_again(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert at(store, "skip", 7, "faulty", "--reason", "a cat") == 0
    assert capsys.readouterr().out == (
        "model tally skips the event at position 7 on every replica, and is stopped at position 12 now\n"
    )
    assert at(store, "skip", 12) == 0
    assert capsys.readouterr().out.endswith(" and is up to date\n")
    assert run("skipped", store) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("tally 7 since 2")
    assert first.endswith(" UTC: a cat")
    assert second.endswith(" UTC")
    assert at(store, "unskip", 7, "mended") == 0
    assert capsys.readouterr().out == (
        "model tally does not skip the event at position 7 any more, and is rebuilt\n"
    )
    with System.open(store, mended, replicas=2) as system:
        assert [one.position for one in system.skipped_events()] == [12]
        for name in system.replica_names:
            assert system.dump(name, mended_tallies.model)["rows"][0]["count"] == 19


def test_programs_get_documents(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def documents() -> list[Any]:
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert at(store, "skip", 7, "faulty", "--json") == 0
    assert documents() == [{"model": "tally", "skipped_position": 7, "stopped_at": [12]}]
    assert run("skipped", store, "--json") == 0
    [document] = documents()
    assert {**document["skipped"], "time": ""} == {"model": "tally", "position": 7, "reason": "", "time": ""}
    assert at(store, "unskip", 7, "mended", "--json") == 0
    assert documents() == [{"model": "tally", "unskipped_position": 7}]


@pytest.mark.parametrize(
    ("command", "position", "domain", "code", "error"),
    [
        ("skip", 8, "faulty", 1, "NotStopped: model 'tally' is not stopped at position 8"),
        ("skip", 7, "mended", 1, "NotStopped: model 'tally' is not stopped at position 7"),
        ("skip", 99, "faulty", 1, "ValueError: position 99 is not in the log"),
        (
            "unskip",
            7,
            "faulty",
            1,
            "UnknownName: there is no skipped event of model 'tally', at position 7; there are none",
        ),
        ("skip", 7, "nothing", 2, ""),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    store: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    position: int,
    domain: str,
    code: int,
    error: str,
) -> None:
    assert at(store, command, position, domain) == code
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith(error)
    assert errors.count("\n") == 1


def test_a_rebuild_that_stops_at_the_event_again_is_no_success(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert at(store, "skip", 7) == 0
    assert at(store, "unskip", 7) == 1
    assert "can't stand 7" in capsys.readouterr().err


def test_a_model_or_a_store_that_is_none_is_a_wrong_call(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("skip", store, "nothing", 7, "--domain", f"{HERE}faulty") == 2
    assert "has no read model 'nothing'; it has: tally" in capsys.readouterr().err
    for command in ("skip", "unskip"):
        assert at(tmp_path / "none", command, 7) == 2
    assert run("skipped", tmp_path / "none") == 2
