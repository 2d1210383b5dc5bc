"""Copies of stores with personal fields: fields that become personal, and those that are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors import CopyFailed, Domain, StoredSeal, System
from actors.__main__ import main
from actors.migration.copied_keys import CopiedKeys
from actors.migration.log_copy import LogCopy
from storage.crypto.master_key import load_master_key, new_key_file
from tests.helpers import quick_folder
from tests.system.note_releases import PERSONAL, release
from tests.system.people import Address, Name, Named, people

PLAIN, TAKE_PLAIN = release(str)
SEALED, TAKE_SEALED = release(PERSONAL)


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as name:
        new_key_file(f"{name}/master")
        yield Path(name)


def opened(folder: Path, name: str, domain: Domain, **settings: Any) -> System:
    given = {"replicas": 1, "map_size": 1 << 30, "master_key": folder / "master", **settings}
    return System.open(folder / name, domain, **given)


def copy(folder: Path, domain: Domain | None, through: Any = lambda event: event) -> LogCopy:
    keys = None
    if domain is not None:
        keys = CopiedKeys(domain.compile(), load_master_key(folder / "master"))
    made = LogCopy(folder / "store", folder / "copy", through, "through", keys=keys)
    made.run()
    return made


def log_of(folder: Path, name: str) -> bytes:
    return (folder / name / "data.mdb").read_bytes()


def test_a_field_that_became_personal_is_sealed_in_a_copy_and_can_be_forgotten(folder: Path) -> None:
    with opened(folder, "store", PLAIN) as system:
        for number in range(5):
            system.execute(TAKE_PLAIN(f"n{number}", f"Annabel {number}"), command_id=f"id-{number}")
    with opened(folder, "store", SEALED) as system:
        [warning] = system.health().warnings
        assert "values of the personal field Noted.text that were stored before" in warning
        assert system.health().status == "ok"
    copy(folder, SEALED)
    assert b"Annabel" in log_of(folder, "store")
    assert b"Annabel" not in log_of(folder, "copy")
    with opened(folder, "copy", SEALED, managers=True) as system:
        assert system.stream("note-n3")[0].event.text == "Annabel 3"
        again = system.execute(TAKE_SEALED("n3", "Annabel 3"), command_id="id-3")
        assert (again.position, system.position) == (4, 5)
        assert system.health().warnings == ()
        system.forget("n3")
        assert system.stream("note-n3")[0].event.text == "[forgotten]"
        assert system.stream("note-n2")[0].event.text == "Annabel 2"


def test_what_is_sealed_is_seen_by_the_function_and_sealed_again_for_where_it_goes(folder: Path) -> None:
    with opened(folder, "store", people) as system:
        for number in (1, 2, 3):
            system.execute(Name(f"c{number}", f"Annabel {number}", None, f"Longstreet {number}"))
        system.forget("c3")
    seen = []

    def through(event: Any) -> Any:
        if event.type == "Named":
            seen.append((event.fields["name"], event.fields["address"].fields["street"]))
            if event.fields["customer"] == "c1":
                return event.replace(fields={**event.fields, "name": "Ann"})
        return event

    copy(folder, people, through)
    assert seen[:2] == [("Annabel 1", "Longstreet 1"), ("Annabel 2", "Longstreet 2")]
    assert [type(one) for one in seen[2]] == [StoredSeal, StoredSeal], "forgotten"
    assert b"Longstreet" not in log_of(folder, "copy")
    with opened(folder, "copy", people) as system:
        assert [system.stream(f"customer-c{number}")[0].event for number in (1, 2, 3)] == [
            Named("c1", "Ann", None, Address("c1", "Longstreet 1")),
            Named("c2", "Annabel 2", None, Address("c2", "Longstreet 2")),
            Named("c3", "[forgotten]", None, Address("c3", "[forgotten]")),
        ]


def test_without_the_keys_what_is_sealed_stays_as_it_is_and_where_it_is(folder: Path) -> None:
    with opened(folder, "store", people) as system:
        system.execute(Name("c1", "Annabel", None, "Longstreet"))
    for through, says in (
        (lambda event: event.replace(type="Renamed"), "changed the type of an event with encrypted"),
        (
            lambda event: event.replace(
                fields={**event.fields, "name": event.fields["phones"], "phones": event.fields["name"]}
            ),
            "moved an encrypted value to the field",
        ),
    ):
        with pytest.raises(CopyFailed, match=says):
            copy(folder, None, through)
    copy(folder, None)
    shutil.copytree(folder / "store/keys", folder / "copy/keys")
    with opened(folder, "copy", people) as system:
        assert system.stream("customer-c1")[0].event.address == Address("c1", "Longstreet")


def test_from_a_shell_with_an_export_of_what_is_sealed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(folder, "store", people) as system:
        system.execute(Name("c1", "Annabel", None, "Longstreet"))
    store, target = str(folder / "store"), str(folder / "copy")
    domain, key = (
        ["--domain", "tests.system.people:people"],
        ["--master-key", str(folder / "master")],
    )
    through = ["--through", "tests.system.note_releases:unchanged"]
    assert main(["copy", store, target, *through, *domain]) == 2
    assert "give --master-key" in capsys.readouterr().err
    assert main(["copy", store, target, *through, *domain, *key]) == 0
    for arguments, name in (([*domain, *key], "Annabel"), (domain, "[forgotten]")):
        file = folder / "export"
        assert main(["export", target, str(file), *arguments]) == 0
        events = [json.loads(line) for line in file.read_text().splitlines()[1:-1]]
        assert events[0]["fields"]["name"] == name
    assert main(["export", target, str(file)]) == 0
    assert "Annabel" not in file.read_text()
    assert main(["import", str(file), str(folder / "imported")]) == 0
    shutil.copytree(folder / "store/keys", folder / "imported/keys")
    with opened(folder, "imported", people) as system:
        assert system.stream("customer-c1")[0].event.name == "Annabel"
