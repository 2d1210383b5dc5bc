"""Backups of a running system, and what a restored store is: the fold of the log, and quiet until adopted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors import Backup, ForeignToken, NotAStore, System, UnadoptedCopy, restore
from actors.__main__ import main
from storage import EventLog, take_backup
from tests import inside
from tests.helpers import Threads
from tests.system.jobs import DELAY, Begin, Nudge, World, jobs_of
from tests.system.test_restored_in_place import Pay, ledger, rows, totals


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def fold(system: System, until: int) -> dict[str, int]:
    """What the totals are, by the events of the log up to a position."""
    found: dict[str, int] = {}
    for one in system.subscribe(until=until):
        found[one.event.name] = found.get(one.event.name, 0) + one.event.amount
    return found


def served(path: Path) -> dict[str, int]:
    """The totals that a restored store serves."""
    with System.open(path, ledger, replicas=1) as system:
        system.wait_applied()
        with system.view(totals) as view:
            return {row["name"]: row["total"] for row in view[rows].all()}


def test_backups_under_load_are_each_the_fold_of_the_log_up_to_their_position(
    store_path: Path, backups: Path, tmp_path: Path
) -> None:
    made: list[Backup] = []
    with System.open(store_path, ledger, replicas=1) as system, Threads() as threads:

        def pay(name: str) -> None:
            while len(made) < 6 and not threads.failed():
                system.execute_many(Pay(name, amount) for amount in range(50))

        for name in ("ann", "bob"):
            threads.start(pay, name)
        while len(made) < 6:
            made.append(system.backup(backups, full=len(made) == 3))
        folds = [fold(system, one.position) for one in made]
    assert [one.full for one in made] == [True, False, False, True, False, False]
    assert [one.first for one in made[1:3]] == [one.position + 1 for one in made[:2]]
    for number, one in enumerate(made):
        target = tmp_path / f"restored-{number}"
        done = restore(backups, target, position=one.position)
        assert (done.position, done.notes_position) == (one.position, one.position)
        assert served(target) == folds[number]


def test_a_restored_store_does_not_act_on_the_world_until_it_is_adopted(
    store_path: Path, backups: Path, tmp_path: Path, world: World
) -> None:
    with System.open(store_path, jobs_of(world), replicas=1) as system:
        system.execute(Begin("one"))
        system.wait_process_managers()
        with system.session() as session:
            session.execute(Nudge("one"))
            token = session.token
        system.wait_process_managers()
        system.backup(backups)
    sent = list(world.sent)
    target = tmp_path / "restored"
    done = restore(backups, target)
    assert done.history_id != done.former_history_id
    for _ in range(2):
        with System.open(target, jobs_of(world), replicas=1) as system:
            inside.advance(system, 2 * DELAY)
            health = system.health()
            assert health.status == "degraded"
            assert "restored from a backup" in str(health.copied)
            for call in (system.wait_process_managers, lambda: system.consumer("mailer")):
                with pytest.raises(UnadoptedCopy, match="restored from a backup"):
                    call()
            with pytest.raises(ForeignToken):
                system.session(token)
    assert world.sent == sent
    with System.open(target, jobs_of(world), replicas=1, managers=True) as system:
        system.wait_process_managers()
        assert world.sent == sent  # All of it was done before the backup.
        inside.advance(system, 2 * DELAY)
        system.wait_process_managers()
        assert [one.event.why for one in system.subscribe(until=system.position, types=["Undone"])] == [
            "late"
        ]
    with System.open(target, jobs_of(world), replicas=1) as system:
        assert system.health().copied is None


def test_what_is_done_again_after_a_restore_has_the_key_that_it_had(
    store_path: Path, backups: Path, tmp_path: Path, world: World
) -> None:
    with System.open(store_path, jobs_of(world), replicas=1) as system:
        position = system.execute(Begin("one")).position
        system.wait_process_managers()
        with system.consumer("mailer") as consumer:
            key = next(consumer).key
        system.backup(backups)
    [(payload, sent)] = world.sent
    target = tmp_path / "restored"
    done = restore(backups, target, position=position)
    assert (done.position, done.notes_position) == (position, None)
    with System.open(target, jobs_of(world), replicas=1, managers=True) as system:
        system.wait_process_managers()
        with system.consumer("mailer") as consumer:
            assert next(consumer).key == key
    assert world.sent == [(payload, sent)] * 2


def test_a_restored_store_is_a_copy_where_nothing_but_its_note_says_so(
    store_path: Path, backups: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.runtime.store_identity.copied_because", lambda *_: None)
    with System.open(store_path, jobs_of(world), replicas=1) as system:
        system.execute(Begin("one"))
        system.wait_process_managers()
        system.backup(backups)
    store_path.rename(store_path.with_name("gone"))
    restore(backups, store_path)
    with System.open(store_path, jobs_of(world), replicas=1) as system:
        assert system.health().copied is not None
    assert main(["adopt", str(store_path)]) == 0
    with System.open(store_path, jobs_of(world), replicas=1) as system:
        assert system.health().copied is None


def test_a_store_that_was_never_opened_by_a_system_is_a_copy_too_once_it_was_restored(
    backups: Path, tmp_path: Path, world: World
) -> None:
    with EventLog.open(tmp_path / "log", jobs_of().compile().codec) as log:
        take_backup(log, backups)
    restore(backups, tmp_path / "restored")
    with System.open(tmp_path / "restored", jobs_of(world), replicas=1) as system:
        assert system.health().copied is not None
    with System.open(tmp_path / "restored", jobs_of(world), replicas=1, managers=True) as system:
        assert system.health().copied is None
        system.execute(Begin("one"))
        system.wait_process_managers()
    assert len(world.sent) == 1


def test_replicas_of_the_original_are_recognised_beside_a_restored_log(
    store_path: Path, backups: Path, tmp_path: Path
) -> None:
    with System.open(store_path, ledger, replicas=1) as system:
        system.execute(Pay("ann", 5))
        system.wait_applied()
        system.backup(backups)
    target = tmp_path / "restored"
    restore(backups, target)
    (store_path / "replicas").rename(target / "replicas")
    with System.open(target, ledger, replicas=1) as system:
        reason = system.health().replicas[0].reset_reason
        assert reason is not None
        assert "history" in reason
        system.wait_applied()
    assert served(target) == {"ann": 5}


def test_a_restored_store_can_be_backed_up_and_restored_again(
    store_path: Path, backups: Path, tmp_path: Path
) -> None:
    with System.open(store_path, ledger, replicas=1) as system:
        system.execute(Pay("ann", 5))
        system.backup(backups)
    first = restore(backups, tmp_path / "first")
    with System.open(tmp_path / "first", ledger, replicas=1, managers=True) as system:
        system.execute(Pay("ann", 7))
        made = system.backup(backups)
        assert made.full  # It is another history.
        assert not system.backup(backups).full
    second = restore(backups, tmp_path / "second")
    assert second.former_history_id == first.history_id
    assert served(tmp_path / "second") == {"ann": 12}
    assert main(["verify", str(tmp_path / "second")]) == 0


def test_a_system_that_is_open_for_reading_makes_backups(
    store_path: Path, backups: Path, tmp_path: Path
) -> None:
    with System.open(store_path, ledger, replicas=1) as system:
        system.execute(Pay("ann", 5))
    with System.open(store_path, ledger, replicas=1, mode="read") as reader:
        assert reader.backup(backups).position == 1
    restore(backups, tmp_path / "restored")
    assert served(tmp_path / "restored") == {"ann": 5}


def test_the_commands_back_a_store_up_and_restore_it(
    store_path: Path, backups: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: Any) -> tuple[int, str, str]:
        code = main([str(one) for one in arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    with System.open(store_path, ledger, replicas=1) as system:
        before = system.execute(Pay("ann", 5))
        assert not capsys.readouterr().err
        system.execute(Pay("ann", 7))
    code, out, _ = run("backup", store_path, backups, "--json")
    made = json.loads(out)["backup"]
    assert (code, made["position"], made["full"]) == (0, 2, True)
    code, out, _ = run("backup", store_path, backups, "--max-bytes-per-second", "1e9")
    assert code == 0
    assert "what was added after position 2" in out
    code, out, _ = run("restore", backups, tmp_path / "all", "--json")
    assert (code, json.loads(out)["restored"]["position"]) == (0, 2)
    code, out, _ = run("restore", backups, tmp_path / "one", "--position", before.position, "--no-verify")
    assert code == 0
    assert "no backup was made up to there" in out
    assert "onewriter adopt" in out or "adopt" in out
    assert served(tmp_path / "one") == {"ann": 5}
    assert run("restore", backups, tmp_path / "all")[0] == 2
    assert run("restore", tmp_path / "none", tmp_path / "x")[0] == 1
    assert run("restore", backups, tmp_path / "x", "--position", "3")[0] == 1
    code, _, err = run("restore", backups, tmp_path / "x", "--at", "1999-01-01T00:00:00Z")
    assert code == 1
    assert "nothing up to that moment" in err
    assert run("backup", tmp_path / "none", backups)[0] == 2
    assert run("backup", store_path, tmp_path / "all")[0] == 2
    for wrong in (store_path, store_path / "backups", made["file"]):
        code, out, err = run("backup", store_path, wrong)
        assert (code, out, err.count("\n")) == (2, "", 1)
    assert not (store_path / "backups").exists()
    assert (
        "ends at position 0, before the first event; "
        in run("restore", backups, tmp_path / "0", "--position", 0)[1]
    )
    with pytest.raises(SystemExit):
        main(["restore", str(backups), str(tmp_path / "x"), "--at", "noon"])
    assert not (tmp_path / "x").exists()
    with pytest.raises(NotAStore):
        restore(backups, tmp_path / "all")
