"""Forgetting people: what is gone afterwards, in which order, and what a crash leaves."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from actors import (
    Domain,
    DomainError,
    InvalidMessage,
    OpenedForReading,
    StoreFull,
    SubjectForgotten,
    System,
    restore,
)
from actors.__main__ import main
from actors.testing import open_system
from storage import EventLog
from storage.crypto.halves import Halves
from storage.crypto.master_key import new_key_file
from tests.forked import Forked
from tests.helpers import Threads, quick_folder, wait_until
from tests.system.letters import Move, letters, open_hours, posted
from tests.system.people import Address, Gone, Name, Named, NameOf, Order, WhoIs, directory, people
from tests.system.porters import Arrive, AtDoors, doors, porters


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as name:
        new_key_file(f"{name}/master")
        yield Path(name)


def opened(folder: Path, domain: Domain = people, **settings: Any) -> System:
    given = {"replicas": 2, "map_size": 1 << 30, "master_key": folder / "master", **settings}
    return System.open(folder / "store", domain, **given)


def fill(system: System) -> None:
    for number in (1, 2):
        system.execute(Name(f"c{number}", f"Annabel {number}", ["0171-2345"], f"Longstreet {number}"))
        system.execute(Order(f"c{number}", Decimal("12.50")))
        system.execute(Order(f"c{number}", Decimal("2.50")))


GONE = Named("c1", "[forgotten]", None, Address("c1", "[forgotten]"))


@pytest.mark.parametrize("workers", ["thread", "process"])
def test_nothing_that_was_forgotten_is_read_anywhere_and_the_rest_stays(folder: Path, workers: str) -> None:
    with opened(folder, workers=workers) as system:
        fill(system)
        assert system.query(NameOf("c1"), consistency="strong") == ("Annabel 1", "Longstreet 1")
        done = system.forget("c1", wait=True)
        assert (done.subjects, done.position, done.models) == (("c1",), 7, ("directory",))
        assert done.at_next_opening == ()
        assert system.query(NameOf("c1")) == ("[forgotten]", "[forgotten]")
        assert system.query(WhoIs("Annabel 1")) == []
        assert system.query(NameOf("c2")) == ("Annabel 2", "Longstreet 2")
        assert system.query(Gone(), consistency="strong") == ["c1"]
        assert system.stream("customer-c1")[0].event == GONE
        assert system.stream("customer-c2")[0].event.name == "Annabel 2"
        assert system.stream("forgotten-c1")[0].event == SubjectForgotten("c1")
        for replica in system.replica_names:
            rows = system.dump(replica, directory)["entries"]
            assert [row["name"] for row in rows] == ["[forgotten]", "Annabel 2"]
        assert system.health().problems == ()
        # Deciders see it, too, and the orders are still counted.
        assert system.execute(Order("c1", Decimal(1))).version == 4
        log = system._runtime.parts.log
        version, _, state = log.snapshot("customer-c1")
        assert (version, state.name, state.orders) == (4, "[forgotten]", 3)
        assert system.verify_log().findings == []
        [record] = system.corrections()
        assert (record.who, record.why, record.positions) == ("System.forget", "forgotten: c1", ())
    with opened(folder, workers=workers) as system:
        assert system.query(NameOf("c1"), consistency="strong") == ("[forgotten]", "[forgotten]")
        assert system.query(NameOf("c2"), consistency="strong") == ("Annabel 2", "Longstreet 2")


def test_somebody_who_comes_back_has_a_new_key(folder: Path) -> None:
    with opened(folder) as system:
        fill(system)
        system.forget(["c1", "c1", "nobody"], wait=True)
        system.execute(Name("c1", "Annabel again"))
        assert [one.event.name for one in system.stream("customer-c1") if isinstance(one.event, Named)] == [
            "[forgotten]",
            "Annabel again",
        ]
        assert system.query(NameOf("c1"), consistency="strong") == ("Annabel again", None)
    with opened(folder) as system:
        assert system.query(NameOf("c1"), consistency="strong") == ("Annabel again", None)
        system.forget("c1", wait=True)
        assert {one.event.name for one in system.stream("customer-c1") if isinstance(one.event, Named)} == {
            "[forgotten]"
        }


def test_results_that_were_kept_are_dropped(folder: Path) -> None:
    with opened(folder) as system:
        fill(system)
        system.query(NameOf("c1"), consistency="strong")
        cache = system._runtime.parts.query_dispatcher._cache
        assert any(b"Annabel" in entry.result for entry in cache._entries.values())
        system.forget("c1", wait=True)
        wait_until(lambda: not any(b"Annabel 1" in entry.result for entry in cache._entries.values()))


def test_commands_that_run_meanwhile_are_read_or_redacted_and_never_lost(folder: Path) -> None:
    with opened(folder) as system, Threads() as threads:
        fill(system)
        stop = threading.Event()
        written = []

        def write(thread: int) -> None:
            number = 0
            while not stop.is_set():
                number += 1
                name = f"Name {thread}-{number}"
                written.append((system.execute(Name("c1", name)).position, name))

        for thread in range(3):
            threads.start(write, thread)
        for _ in range(5):
            before = len(written)
            wait_until(lambda before=before: len(written) > before + 5)
            system.forget("c1")
        stop.set()
    with opened(folder) as system:
        forgotten = [one.position for one in system.stream("forgotten-c1")]
        names = {
            one.position: one.event.name
            for one in system.stream("customer-c1")
            if isinstance(one.event, Named)
        }
        assert len(forgotten) == 5
        for position, name in written:
            assert names[position] in ({name} if position > forgotten[-1] else {name, "[forgotten]"})
        # What was committed before the one before the last was begun is gone.
        assert {names[position] for position, _ in written if position < forgotten[-2]} == {"[forgotten]"}


@pytest.mark.parametrize("step", ["before", "after"])
def test_what_a_crash_left_is_finished_by_the_next_opening(
    folder: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    erase = Halves.erase

    def dies(self: Halves, slots: Any) -> None:
        if step == "after":
            erase(self, slots)
        raise OSError("the process dies here")

    with opened(folder) as system:
        fill(system)
        with monkeypatch.context() as patch:
            patch.setattr(Halves, "erase", dies)
            with pytest.raises(OSError, match="dies here"):
                system.forget("c1")
        assert system.position == 6
        [warning] = system.health().warnings
        assert "1 subjects are being forgotten" in warning
    with opened(folder) as system:
        assert [one.event for one in system.stream("forgotten-c1")] == [SubjectForgotten("c1")]
        assert system.stream("customer-c1")[0].event == GONE
        system.wait_rebuilt(directory, timeout=20)
        assert system.query(NameOf("c1"), consistency="strong") == ("[forgotten]", "[forgotten]")
    with opened(folder) as system:
        assert len(system.stream("forgotten-c1")) == 1


def test_an_earlier_copy_of_the_key_store_brings_nobody_back(folder: Path) -> None:
    with opened(folder) as system:
        fill(system)
    shutil.copytree(folder / "store/keys", folder / "earlier")
    with opened(folder) as system:
        system.forget("c1", wait=True)
    shutil.rmtree(folder / "store/keys")
    (folder / "earlier").rename(folder / "store/keys")
    with opened(folder) as system:
        assert system.stream("customer-c1")[0].event == GONE
        assert system.stream("customer-c2")[0].event.name == "Annabel 2"


def test_a_backup_from_before_brings_nobody_back(folder: Path) -> None:
    with opened(folder) as system:
        fill(system)
        system.backup(folder / "backups")
        system.forget("c1")
    assert not any(b"Longstreet" in file.read_bytes() for file in (folder / "backups").iterdir())
    restore(folder / "backups", folder / "restored")
    shutil.copytree(folder / "store/keys", folder / "restored/keys")
    with System.open(
        folder / "restored", people, replicas=1, map_size=1 << 30, master_key=folder / "master"
    ) as system:
        assert system.position == 6
        assert system.query(NameOf("c1"), consistency="strong") == ("[forgotten]", "[forgotten]")
        assert system.query(NameOf("c2"), consistency="strong") == ("Annabel 2", "Longstreet 2")


def test_an_event_that_is_not_written_once_its_key_is_leaves_a_key_that_is_used_next(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(folder) as system:
        fill(system)

        def dies(_self: EventLog) -> None:
            raise StoreFull("the process dies between the key and the event")

        with monkeypatch.context() as patch:
            patch.setattr(EventLog, "_begin", dies)
            with pytest.raises(StoreFull):
                system.execute(Name("c3", "Bob"))
        keyring = system._runtime.parts.domain.codec.sealer
        assert (system.position, keyring.store.counts()["keys"]) == (6, 3)
    with opened(folder) as system:
        system.execute(Name("c3", "Bob"))
        assert system._runtime.parts.domain.codec.sealer.store.counts()["keys"] == 3
        assert system.query(NameOf("c3"), consistency="strong") == ("Bob", None)


def test_a_reader_follows(folder: Path) -> None:
    with opened(folder) as system:
        fill(system)
        system.forget("c1", wait=True)
    with opened(folder, mode="read") as reader:
        assert reader.query(NameOf("c1"), consistency="strong") == ("[forgotten]", "[forgotten]")
        assert reader.query(NameOf("c2"), consistency="strong") == ("Annabel 2", "Longstreet 2")
        with pytest.raises(OpenedForReading):
            reader.forget("c2")
        assert reader.stream("customer-c2")[0].event.name == "Annabel 2"


def test_a_reader_in_another_process_that_is_open_forgets_too(folder: Path) -> None:
    module = "tests.system.reading_people_child"
    with opened(folder) as system:
        fill(system)
        arguments = (str(folder / "store"), str(folder / "master"), "c1", "[forgotten]")
        with Forked(module, *arguments) as reader:
            assert reader.stdout.readline() == "Annabel 1 Annabel 1\n"
            system.forget("c1", wait=True)
            assert reader.stdout.readline() == "[forgotten] [forgotten]\n"
            assert reader.wait(20) == 0


def test_what_can_not_be_a_subject_is_refused_before_anything_is_done(folder: Path) -> None:
    with opened(folder) as system:
        fill(system)
        for subjects, error in (([7], TypeError), ([""], InvalidMessage), ("x" * 600, Exception)):
            with pytest.raises(error):
                system.forget(subjects)
        with pytest.raises(Exception, match="limit is"):
            system.forget(["c1", "x" * 600])
        assert system.stream("customer-c1")[0].event.name == "Annabel 1"
        assert (system.position, system.corrections()) == (6, [])


def test_an_inline_model_is_filled_again_by_the_next_opening_whatever_happens_before(folder: Path) -> None:
    with opened(folder, porters) as system:
        system.execute_many([Arrive("c1", "Annabel 1"), Arrive("c2", "Annabel 2")])
        assert system.forget("c1", wait=True).at_next_opening == ("doors",)
        [warning] = system.health().warnings
        assert "inline model doors shows what was forgotten" in warning
        system.execute(Arrive("c3", "Bob"))
        assert system.query(AtDoors()) == ["Annabel 1", "Annabel 2", "Bob"]
        # A failed commit opens the log again: nobody would fill the tables then.
        system._runtime.parts.log.reopen()
        assert system.query(AtDoors()) == ["Annabel 1", "Annabel 2", "Bob"]
    for _ in range(2):
        with opened(folder, porters) as system:
            assert system.query(AtDoors()) == ["[forgotten]", "Annabel 2", "Bob"]


def test_from_a_shell_inline_models_are_filled_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with opened(folder, porters) as system:
        system.execute_many([Arrive("c1", "Annabel 1"), Arrive("c2", "Annabel 2")])
    store, key = str(folder / "store"), str(folder / "master")
    assert main(["forget", store, "c1", "--domain", "tests.system.porters:porters", "--master-key", key]) == 0
    assert capsys.readouterr().out == "1 forgotten; models filled again: doors\n"
    log = EventLog.open(
        folder / "store", porters.compile().codec, inline=[doors.schema], siblings=["keys", "replicas"]
    )
    with log, log.inline_snapshot() as snapshot:
        table = snapshot.table("doors", doors.schema.tables[0])
        assert [row["name"] for row in table.all()] == ["[forgotten]", "Annabel 2"]


def test_from_a_shell(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with opened(folder) as system:
        fill(system)
        system.execute(Name("c3", "Bob"))
    store, key = str(folder / "store"), ["--master-key", str(folder / "master")]
    domain = ["--domain", "tests.system.people:people"]
    (folder / "leavers").write_text("c1\n\nc3\n")
    assert main(["forget", store, "--from", str(folder / "leavers"), *domain, *key, "--json"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {
        "forgotten": 2,
        "subjects": ["c1", "c3"],
        "position": 9,
        "models": ["directory"],
    }
    assert main(["corrections", store]) == 0
    assert capsys.readouterr().out.endswith(" UTC  onewriter forget: forgotten: c1, c3\n")
    assert main(["keys", "show", store, *key]) == 0
    assert ": 1 keys, 2 destroyed" in capsys.readouterr().out
    assert main(["keys", "new", str(folder / "next")]) == 0
    assert main(["keys", "rotate", store, *key, "--new-master-key", str(folder / "next")]) == 0
    assert "1 keys are wrapped" in capsys.readouterr().out
    assert main(["forget", store, "c2", *domain, *key]) == 1
    assert "does not open the key store" in capsys.readouterr().err
    assert main(["forget", store, *domain, *key]) == 2
    assert "give a subject" in capsys.readouterr().err
    with opened(folder, master_key=folder / "next") as system:
        assert system.query(NameOf("c3"), consistency="strong") == ("[forgotten]", None)


def test_what_process_managers_keep_is_sealed_and_what_waits_in_the_outbox_is_redacted(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_hours.clear()
    posted.clear()
    with opened(folder, letters) as system:
        for number in (1, 2):
            system.execute(Move(f"c{number}", f"Longstreet {number}"))
        wait_until(lambda: sum(bool(one.attempts) for one in system.effects("welcome")) == 2)
        assert b"Longstreet" not in (folder / "store/data.mdb").read_bytes()
        system.forget("c1", wait=True)
        open_hours.set()
        wait_until(lambda: len(posted) == 2)
        assert sorted(posted) == ["Longstreet 2", "[forgotten]"]
        system._runtime.parts.process_managers.advance(2 * 86_400 * 1_000_000)
        wait_until(lambda: len(posted) == 4)
        assert sorted(posted[2:]) == ["again Longstreet 2 Longstreet 2", "again [forgotten] [forgotten]"]
        assert system.process_manager_state("welcome", "c1").address == "[forgotten]"
        assert system.health().problems == ()
    assert b"Longstreet" not in (folder / "store/data.mdb").read_bytes()
    assert "Longstreet 1" not in caplog.text


def test_a_domain_without_personal_fields_forgets_nobody() -> None:
    with open_system(Domain("plain")) as system, pytest.raises(DomainError, match="no personal fields"):
        system.forget("c1")
