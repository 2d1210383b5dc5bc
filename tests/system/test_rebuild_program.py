"""`python -m actors rebuild MODEL --store PATH --domain MODULE:ATTRIBUTE`."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from actors import System
from actors.__main__ import main
from actors.health import Rebuild
from tests import inside, preloaded
from tests.system.tallies import Tallies

tallies = Tallies(1, others=("count",))
domain = tallies.domain
newer = Tallies(2, others=("count",)).domain
failing = Tallies(1)
failing.before = lambda version, position: 1 / (position - 5)  # type: ignore[assignment, return-value]
broken = failing.domain
HERE = "tests.system.test_rebuild_program:"


@pytest.fixture
def store(store_path: Path) -> Path:
    """A store with ten numbers."""
    with System.open(store_path, domain, replicas=2) as system:
        tallies.note(system, *range(1, 11))
        system.wait_applied()
    return store_path


def rebuild(*arguments: object) -> int:
    return main(["rebuild", *map(str, arguments)])


def test_it_rebuilds_and_says_what_it_did(store: Path) -> None:
    program = ["-m", "actors", "rebuild", "tally", "--store", str(store), "--domain", f"{HERE}domain"]
    done = preloaded.run(program, preloaded.ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(
        r"^tally version 1 is rebuilt on 2 replicas up to position 10: "
        r"20 events applied in \d+\.\d s, [\d,]+ a second$",
        done.stdout,
        re.MULTILINE,
    )
    with System.open(store, domain, replicas=2) as system:
        stores = inside.stores(system).values()
        assert [(one.active("tally").generation, one.active("count").generation) for one in stores] == [
            (1, 0)
        ] * 2
        assert tallies.ask(system, consistency="strong") == 1


def test_a_new_version_is_built(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rebuild("tally", "--store", store, "--domain", f"{HERE}newer", "--replicas", 1) == 0
    assert "tally version 2 is rebuilt on 1 replica up to position 10: " in capsys.readouterr().out


def test_each_line_of_progress_has_rate_and_time_left(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.cli.rebuild_wait.EVERY", 0.001)
    one = Rebuild("tally", "replica-2", 1, 1, False, "building", 1_200, 5_000, 40_000.4, 3.2)
    other = Rebuild("count", "replica-2", 1, 1, False, "building", 1, 5_000, None, None)
    monkeypatch.setattr(System, "rebuilds", lambda self: (one, other))
    turns = iter([False, True])
    monkeypatch.setattr("actors.cli.rebuild.is_rebuilt", lambda *_: next(turns))
    assert rebuild("tally", "--store", store, "--domain", f"{HERE}domain") == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "replica-2: 1,200 of 5,000 events (24 %), 40,000 events a second, 3 s left"
    )


def test_in_json_progress_and_end_are_a_document_each(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Rebuild("tally", "replica-2", 1, 1, False, "building", 1_200, 5_000, 40_000.4, None)
    monkeypatch.setattr(System, "rebuilds", lambda self: (one,))
    turns = iter([False, True])
    monkeypatch.setattr("actors.cli.rebuild.is_rebuilt", lambda *_: next(turns))
    assert rebuild("tally", "--store", store, "--domain", f"{HERE}domain", "--json") == 0
    progress, end = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert progress == {"rebuild": dataclasses.asdict(one)}
    assert end.pop("seconds") > 0
    assert end == {"rebuilt": "tally", "version": 1, "replicas": 2, "position": 10, "events_applied": 0} | {
        "events_applied": end["events_applied"]
    }


def test_a_projection_that_fails_ends_it_with_the_event(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rebuild("tally", "--store", store, "--domain", f"{HERE}broken") == 1
    assert re.search(
        "the rebuild of 'tally' on replica-. stopped at event Noted at position 5: ZeroDivisionError",
        capsys.readouterr().err,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing", "--domain", f"{HERE}domain"], "has no read model 'nothing'; it has: count, tally"),
        (["tally", "--domain", f"{HERE}nothing"], "has nothing as nothing, where a Domain is wanted"),
        (["tally", "--domain", "no such module"], "--domain takes MODULE:ATTRIBUTE"),
    ],
)
def test_a_wrong_call_is_refused(
    store: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert rebuild(*arguments, "--store", store) == 2
    assert said in capsys.readouterr().err


def test_arguments_that_make_no_sense_are_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        rebuild("tally", "--store", "store", "--domain", f"{HERE}domain", "--replicas", 0)
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert "argument --replicas: must be at least 1, not 0" in told
    assert told.count("\n") == 1


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rebuild("tally", "--store", tmp_path / "none", "--domain", f"{HERE}domain") == 2
    assert "none is not a store; give the directory that System.open was given" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_store_in_use_is_refused(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with System.open(store, domain, replicas=2):
        assert rebuild("tally", "--store", store, "--domain", f"{HERE}domain") == 1
    assert "is already open for writing" in capsys.readouterr().err
