"""`python -m actors correct` and `corrections`: what they print, what they refuse, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from actors import CopiedEvent, System
from actors.__main__ import main
from tests import preloaded
from tests.system.currencies import fill, shop, sums

GIVEN = ["--domain", "tests.system.currencies:shop", "--through", "tests.system.currencies:dollars"]
SAID = ["--who", "Ann", "--why", "paid in dollars"]


@pytest.fixture
def store(tmp_path: Path) -> str:
    path = tmp_path / "store"
    with System.open(path, shop, replicas=1) as system:
        fill(system, 12)
    return str(path)


def test_a_dry_run_shows_and_changes_nothing_while_the_store_is_open(store: str) -> None:
    program = ["-m", "actors", "correct", store, *GIVEN, "--dry-run"]
    with System.open(store, shop, replicas=1) as system:
        done = preloaded.run(program, preloaded.ROOT)
        assert (done.returncode, done.stderr) == (0, "")
        assert system.corrections() == []
    lines = done.stdout.splitlines()
    assert lines[0].startswith("1 account-a0: Paid(account='a0', amount=1, currency='EUR'")
    assert "currency='USD'" in lines[1]
    assert lines[-2:] == [
        "... and 2 more",
        "of 13 events 12 change (12 Paid); to be rebuilt: sums",
    ]


def test_a_correction_is_made_and_listed(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    selected = ["--types", "Paid", "--streams", "account-a1", "--after", "3", "--until", "12"]
    assert main(["correct", store, *GIVEN, *SAID, *selected]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "correction 1 is made, of 3 events"
    assert main(["correct", store, *GIVEN, *SAID, "--json"]) == 0
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (documents[0]["changed"], documents[0]["types"], documents[0]["models"]) == (
        9,
        {"Paid": 9},
        ["sums"],
    )
    assert documents[0]["examples"][0]["after"]["event"]["currency"] == "USD"
    assert documents[1] == {"correction": 2, "who": "Ann", "why": "paid in dollars", "count": 9}
    assert main(["corrections", store]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(" UTC  Ann: paid in dollars; 3 events, at 5, 8, 11")
    assert second.endswith("; 9 events, at 1, 2, 3, 4, 6, 7, 9, 10, 12")
    assert main(["corrections", store, "--json"]) == 0
    listed = [json.loads(line)["correction"] for line in capsys.readouterr().out.splitlines()]
    assert listed[0]["positions"] == [5, 8, 11]
    assert main(["verify", store]) == 0
    with System.open(store, shop, replicas=1) as system:
        assert system.rebuilds() == ()
        assert {row["currency"] for row in system.dump("replica-1", sums)["by_currency"]} == {"USD"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*GIVEN, "--who", "Ann"], "give --who and --why"),
        ([*GIVEN[:2], "--through", "nowhere"], "--through takes MODULE:FUNCTION"),
        ([*GIVEN[:2], "--through", "tests.system.currencies:none", *SAID], "has nothing as none"),
        ([*GIVEN[:2], "--through", "tests.nothing:none", *SAID], "importing tests.nothing failed"),
        ([*GIVEN, *SAID, "--types", "Paying"], "has no event 'Paying'; it has: Noted, Paid, Waived"),
    ],
)
def test_a_wrong_call_is_refused(
    store: str, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["correct", store, *arguments]) == 2
    assert said in capsys.readouterr().err


def test_what_is_no_store_and_what_changes_nothing_is_said(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["correct", str(tmp_path / "none"), *GIVEN, *SAID]) == 2
    assert "is not a store" in capsys.readouterr().err
    assert main(["corrections", str(tmp_path / "none")]) == 2
    assert main(["correct", store, *GIVEN, *SAID, "--types", "Noted"]) == 1
    assert "changes nothing" in capsys.readouterr().err


def unchanged(event: CopiedEvent) -> CopiedEvent:
    return event


def test_an_export_and_a_copy_say_that_they_leave_the_records_of_corrections_behind(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> str:
        assert main([*arguments]) == 0
        return capsys.readouterr().out

    copying = ["--through", "tests.system.test_correct_program:unchanged"]
    assert "left behind" not in said("export", store, str(tmp_path / "before"))
    said("correct", store, *GIVEN, *SAID)
    left = (
        "left behind: the record of 1 correction, with what those events were before; "
        "`onewriter corrections` lists it in the original"
    )
    assert said("export", store, str(tmp_path / "after")).splitlines()[-1] == left
    assert said("copy", store, str(tmp_path / "copy"), *copying).splitlines()[-1] == left
    for line in (
        ["export", store, str(tmp_path / "again")],
        ["copy", store, str(tmp_path / "other"), *copying],
    ):
        assert json.loads(said(*line, "--json").splitlines()[-1])["corrections_left_out"] == 1
    with System.open(tmp_path / "copy", shop, replicas=1) as system:
        assert system.corrections() == []
