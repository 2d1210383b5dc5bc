"""Personal fields in a running system: encrypted on disk, read with the keys, and errors without them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from actors import (
    CommandIdReused,
    DamagedKeys,
    Domain,
    DomainError,
    KeysUnavailable,
    Rejected,
    System,
    UnreadableSeal,
)
from storage import EventLog
from storage.crypto.key_store import KeyStore
from storage.crypto.master_key import new_key_file
from tests.helpers import quick_folder
from tests.system.note_releases import PERSONAL, later_release, release
from tests.system.people import Address, Name, Named, NameOf, Order, WhoIs, people

SECRETS = (b"Annabel", b"Longstreet", b"0171-2345")


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as name:
        new_key_file(f"{name}/master")
        yield Path(name)


def opened(folder: Path, domain: Domain = people, **settings: Any) -> System:
    given = {"replicas": 1, "map_size": 1 << 30, "master_key": folder / "master", **settings}
    return System.open(folder / "store", domain, **given)


def fill(system: System) -> None:
    system.execute(Name("c1", "Annabel Smith", ["0171-2345"], "Longstreet 5"), command_id="first")
    system.execute(Order("c1", Decimal("12.50")))
    system.execute(Order("c1", Decimal("2.50")))


def test_no_personal_value_is_in_the_log_and_all_of_them_are_read(folder: Path) -> None:
    for _ in range(2):
        with opened(folder) as system:
            if system.position == 0:
                fill(system)
            [recorded, *_] = system.stream("customer-c1")
            assert recorded.event == Named(
                "c1", "Annabel Smith", ["0171-2345"], Address("c1", "Longstreet 5")
            )
            assert system.query(NameOf("c1"), consistency="strong") == ("Annabel Smith", "Longstreet 5")
            assert system.query(WhoIs("Annabel Smith"), consistency="strong") == ["c1"]
    data = (folder / "store/data.mdb").read_bytes()
    assert [secret for secret in SECRETS if secret in data] == []
    assert data.count(b"customer-c1") > 0, "what is no secret is found"


def test_a_snapshot_of_a_state_is_read_and_sealed(folder: Path) -> None:
    with opened(folder) as system:
        fill(system)
    with opened(folder) as system:
        log = system._runtime.parts.log
        version, _, state = log.snapshot("customer-c1")
        assert (version, state.name, state.orders) == (2, "Annabel Smith", 1)
        assert system.execute(Order("c1", Decimal(1))).version == 4


@pytest.mark.parametrize("workers", ["thread", "process"])
def test_replicas_anywhere_read_them(folder: Path, workers: str) -> None:
    with opened(folder, workers=workers) as system:
        fill(system)
        assert system.query(NameOf("c1"), consistency="strong") == ("Annabel Smith", "Longstreet 5")
        assert system.query(WhoIs("Annabel Smith"), consistency="strong") == ["c1"]


def test_a_repeated_command_is_known_by_a_digest_that_nobody_else_can_compute(folder: Path) -> None:
    with opened(folder) as system:
        fill(system)
    with opened(folder) as system:
        again = system.execute(Name("c1", "Annabel Smith", ["0171-2345"], "Longstreet 5"), command_id="first")
        assert (again.position, system.position) == (1, 3)
        with pytest.raises(CommandIdReused):
            system.execute(Name("c1", "Annabel Jones", ["0171-2345"], "Longstreet 5"), command_id="first")
        with pytest.raises(Rejected):
            system.execute(Order("c9", Decimal(1)))


def test_no_key_is_written_for_an_event_that_can_not_be_and_none_is_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(folder) as system:
        fill(system)

        def full(*_: object) -> None:
            from storage import StoreFull

            raise StoreFull("the disk of the keys is full")

        with monkeypatch.context() as patch:
            patch.setattr(KeyStore, "put", full)
            with pytest.raises(Exception, match="the disk of the keys is full"):
                system.execute(Name("c2", "Bob"))
        assert system.position == 3, "nothing was written"
        system.execute(Name("c2", "Bob"))
    with opened(folder) as system:
        assert system.query(NameOf("c2"), consistency="strong") == ("Bob", None)


def test_without_a_master_key_nothing_is_opened_and_nothing_is_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeysUnavailable, match=r"Address\.street, and no master key.*keys new FILE"):
        opened(folder, master_key=None)
    assert not (folder / "store").exists()
    monkeypatch.setenv("ONEWRITER_MASTER_KEY", str(folder / "master"))
    with opened(folder, master_key=None) as system:
        fill(system)
    with pytest.raises(ValueError, match="master_key= is the path of a key file"):
        opened(folder, master_key=7)
    new_key_file(folder / "other")
    with pytest.raises(KeysUnavailable, match="does not open the key store"):
        opened(folder, master_key=folder / "other")
    with opened(folder) as system:
        assert system.position == 3


def test_a_key_store_that_is_missing_damaged_or_of_another_store_is_said(folder: Path) -> None:
    with opened(folder) as system:
        fill(system)
    with System.open(
        folder / "second", people, replicas=1, map_size=1 << 30, master_key=folder / "master"
    ) as system:
        fill(system)
    keys, aside = folder / "store/keys", folder / "aside"
    keys.rename(aside)
    with pytest.raises(KeysUnavailable, match="there is no key store at"):
        opened(folder)
    shutil.copytree(folder / "second/keys", keys)
    with pytest.raises(KeysUnavailable, match="is not that of"):
        opened(folder)
    shutil.rmtree(keys)
    aside.rename(keys)
    (keys / "halves").rename(folder / "halves")
    with pytest.raises(DamagedKeys, match="halves is missing"):
        opened(folder)
    (folder / "halves").rename(keys / "halves")
    with opened(folder) as system:
        assert system.query(NameOf("c1"), consistency="strong") == ("Annabel Smith", "Longstreet 5")


def test_an_older_copy_of_the_key_store_is_an_error_and_not_a_forgotten_person(folder: Path) -> None:
    with opened(folder) as system:
        fill(system)
    shutil.copytree(folder / "store/keys", folder / "older")
    with opened(folder) as system:
        system.execute(Name("c2", "Bob"))
    newest = folder / "store/keys"
    newest.rename(folder / "newest")
    (folder / "older").rename(newest)
    with opened(folder) as system, pytest.raises(UnreadableSeal, match="restore the newest copy"):
        system.stream("customer-c2")


def test_keys_may_be_elsewhere(folder: Path) -> None:
    with opened(folder, keys_path=folder / "vault/keys") as system:
        fill(system)
    assert not (folder / "store/keys").exists()
    assert (folder / "vault/keys/halves").exists()
    with pytest.raises(KeysUnavailable, match="keys_path="):
        opened(folder)


def test_a_copy_of_the_log_has_no_key(folder: Path) -> None:
    with opened(folder) as system:
        fill(system)
    (folder / "backup").mkdir()
    shutil.copy(folder / "store/data.mdb", folder / "backup/data.mdb")
    with EventLog.open(folder / "backup", people.compile().codec) as log:
        [recorded] = log.read(limit=1)
        assert recorded.event.name == "[forgotten]"
    with pytest.raises(KeysUnavailable, match="there is no key store"):
        System.open(folder / "backup", people, master_key=folder / "master")


def test_a_reader_with_the_key_reads_and_one_without_reads_as_if_all_were_forgotten(folder: Path) -> None:
    with opened(folder) as system:
        fill(system)
    with opened(folder, mode="read") as reader:
        assert reader.query(NameOf("c1"), consistency="strong") == ("Annabel Smith", "Longstreet 5")
    with opened(folder, mode="read", master_key=None) as reader:
        assert reader.query(NameOf("c1"), consistency="strong") == ("[forgotten]", "[forgotten]")


def test_a_field_may_become_personal_and_does_not_stop_being_it(folder: Path) -> None:
    before, after = release(str), release(PERSONAL)
    with opened(folder, before[0]) as system:
        system.execute(before[1]("ann", "Annabel"), command_id="one")
    with opened(folder, after[0]) as system:
        assert system.execute(after[1]("ann", "Annabel"), command_id="one").position == 1, "the same command"
        system.execute(after[1]("ann", "Longstreet"))
        assert [one.event.text for one in system.stream("note-ann")] == ["Annabel", "Longstreet"]
    data = (folder / "store/data.mdb").read_bytes()
    assert (b"Annabel" in data, b"Longstreet" in data) == (True, False)
    with pytest.raises(DomainError, match=r"had personal fields, such as Note\.text, and has none"):
        opened(folder, before[0])


def test_a_field_of_one_class_does_not_stop_being_personal_either(folder: Path) -> None:
    for personal in (True, False):
        domain = Domain("two")
        kept = type("Kept", (), {"__annotations__": {"who": str, "text": PERSONAL}})
        domain.event(state=None)(kept)
        told = domain.event(state=None)(
            type("Told", (), {"__annotations__": {"who": str, "text": PERSONAL if personal else str}})
        )
        if personal:
            with opened(folder, domain) as system:
                system.append("told", [told("ann", "Annabel")])
        else:
            with pytest.raises(DomainError, match="field 'text' without Personal, which was personal"):
                opened(folder, domain)


def test_an_older_version_under_a_former_name_is_unsealed_before_its_upcaster(folder: Path) -> None:
    domain, take_note = release(PERSONAL)
    with opened(folder, domain) as system:
        system.execute(take_note("ann", "Annabel"))
    domain, written, seen = later_release()
    with opened(folder, domain) as system:
        assert [one.event for one in system.stream("note-ann")] == [written("ann", "ANNABEL")]
    assert seen[-1] == {"who": "ann", "text": "Annabel"}
