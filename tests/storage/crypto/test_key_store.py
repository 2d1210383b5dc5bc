"""The key store: what is on disk, what a master key opens, and what is damaged or missing."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.crypto import ciphers
from storage.crypto.halves import CHUNK, HALF_BYTES
from storage.crypto.key_store import KeyStore, NewKey, subject_digest
from storage.crypto.keyring import Keyring
from storage.crypto.master_key import load_master_key, new_key_file
from storage.errors import DamagedKeys, KeysUnavailable, StoreLocked, UnreadableSeal
from tests.helpers import quick_folder

PLACE = b"Named.name"


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as name:
        new_key_file(f"{name}/master")
        yield Path(name)


def opened(folder: Path, master: str = "master", *, create: bool = True, readonly: bool = False) -> Keyring:
    store = KeyStore.open(
        folder / "keys", load_master_key(folder / master), create=create and not readonly, readonly=readonly
    )
    return Keyring(store, readonly=readonly)


def sealed_once(folder: Path, subject: str = "ann") -> bytes:
    """A value that was sealed and whose key is on disk; the key store is closed again."""
    keys = opened(folder)
    try:
        body = keys.seal(subject, PLACE, b"Ann Smith")
        keys.flush()
        return body
    finally:
        keys.close()


def test_a_value_is_read_with_the_key_that_sealed_it_by_the_next_opening(folder: Path) -> None:
    body = sealed_once(folder)
    assert b"Ann" not in body
    keys = opened(folder)
    assert keys.unseal(PLACE, body) == b"Ann Smith"
    assert keys.seal("ann", PLACE, b"x")[:8] == body[:8], "a subject keeps its key"
    assert keys.seal("bob", PLACE, b"x")[:8] != body[:8]
    keys.close()


def test_a_value_of_another_place_or_with_another_bit_is_not_read(folder: Path) -> None:
    body = sealed_once(folder)
    keys = opened(folder)
    for place, bytes_ in ((b"Named.street", body), (PLACE, body[:-1] + bytes([body[-1] ^ 1]))):
        with pytest.raises(UnreadableSeal, match="damaged, or was moved"):
            keys.unseal(place, bytes_)
    keys.close()


def test_a_destroyed_key_is_gone_and_the_next_one_is_another(folder: Path) -> None:
    body = sealed_once(folder)
    keys = opened(folder)
    keys.destroy(["ann", "nobody"])
    assert keys.unseal(PLACE, body) is None
    again = keys.seal("ann", PLACE, b"Ann again")
    keys.flush()
    assert again[:8] != body[:8]
    assert (keys.unseal(PLACE, body), keys.unseal(PLACE, again)) == (None, b"Ann again")
    assert sorted(keys.store.destroying()) == ["ann", "nobody"]
    keys.store.recorded(["ann", "nobody"])
    assert keys.store.destroying() == []
    keys.close()
    keys = opened(folder)
    assert (keys.unseal(PLACE, body), keys.unseal(PLACE, again)) == (None, b"Ann again")
    keys.close()


def test_a_destroyed_key_can_not_be_had_from_a_copy_of_the_environment_that_was_made_before(
    folder: Path,
) -> None:
    body = sealed_once(folder)
    shutil.copy(folder / "keys/data.mdb", folder / "before.mdb")
    keys = opened(folder)
    keys.destroy(["ann"])
    keys.close()
    shutil.copy(folder / "before.mdb", folder / "keys/data.mdb")
    keys = opened(folder)
    assert keys.unseal(PLACE, body) is None
    keys.close()


def test_of_a_destruction_that_ended_between_its_steps_the_key_is_gone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = sealed_once(folder)
    keys = opened(folder)
    write = KeyStore._write

    def only_the_beginning(self: KeyStore, do: object, what: str) -> None:
        if what == "destroying keys":
            raise OSError("the process dies")
        write(self, do, what)

    monkeypatch.setattr(KeyStore, "_write", only_the_beginning)
    with pytest.raises(OSError, match="dies"):
        keys.destroy(["ann"])
    keys.close()
    monkeypatch.undo()
    keys = opened(folder)
    assert keys.unseal(PLACE, body) is None
    assert keys.store.destroying() == ["ann"]
    keys.destroy(["ann"])
    assert keys.store.counts() == {"keys": 0, "destroyed": 1}
    keys.close()


def test_a_key_that_was_not_flushed_is_in_no_file(folder: Path) -> None:
    keys = opened(folder)
    lost = keys.seal("ann", PLACE, b"Ann")
    keys.close()
    keys = opened(folder)
    with pytest.raises(UnreadableSeal, match="was not destroyed there"):
        keys.unseal(PLACE, lost)
    # Its slot is used again, and that is no key of the other one.
    body = keys.seal("bob", PLACE, b"Bob")
    keys.flush()
    assert keys.unseal(PLACE, body) == b"Bob"
    keys.close()


def test_keys_that_can_not_be_written_are_written_by_the_next_flush(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = opened(folder)
    body = keys.seal("ann", PLACE, b"Ann")

    def full(_self: KeyStore, _keys: list[NewKey]) -> None:
        raise OSError("full")

    with monkeypatch.context() as patch:
        patch.setattr(KeyStore, "put", full)
        with pytest.raises(OSError, match="full"):
            keys.flush()
    keys.flush()
    keys.close()
    keys = opened(folder)
    assert keys.unseal(PLACE, body) == b"Ann"
    keys.close()


def test_another_master_key_is_refused_and_changes_nothing(folder: Path) -> None:
    body = sealed_once(folder)
    new_key_file(folder / "other")
    with pytest.raises(KeysUnavailable, match=r"does not open the key store .*another one than that"):
        opened(folder, "other")
    keys = opened(folder)
    assert keys.unseal(PLACE, body) == b"Ann Smith"
    keys.close()


def test_after_a_rotation_only_the_new_master_key_opens(folder: Path) -> None:
    body = sealed_once(folder)
    new_key_file(folder / "next")
    keys = opened(folder)
    assert keys.store.rotate(load_master_key(folder / "next")) == 1
    assert keys.unseal(PLACE, body) == b"Ann Smith"
    keys.close()
    with pytest.raises(KeysUnavailable, match="does not open"):
        opened(folder)
    keys = opened(folder, "next")
    assert keys.unseal(PLACE, body) == b"Ann Smith"
    keys.close()


def test_a_key_service_wraps_and_unwraps(folder: Path) -> None:
    asked = []

    def service(action: str, data: bytes) -> bytes:
        asked.append(action)
        return bytes(one ^ 0x55 for one in data)

    body = b""
    for number in range(2):
        store = KeyStore.open(folder / "keys", load_master_key(service), create=True)
        keys = Keyring(store)
        body = body or keys.seal("ann", PLACE, b"Ann")
        keys.flush()
        assert keys.unseal(PLACE, body) == b"Ann", number
        keys.close()
    assert asked == ["wrap", "unwrap", "unwrap"], "what it wraps is tried at once"


def test_a_key_service_that_fails_is_named(folder: Path) -> None:
    def service(_action: str, data: bytes) -> bytes:
        raise ConnectionError("no route")

    with pytest.raises(KeysUnavailable, match=r"service failed to wrap the key: ConnectionError: no route"):
        KeyStore.open(folder / "keys", load_master_key(service), create=True)
    with pytest.raises(KeysUnavailable, match="returned the key as it is"):
        KeyStore.open(folder / "keys", load_master_key(lambda _action, data: data), create=True)


def test_what_is_missing_or_damaged_is_said_and_left_as_it_is(folder: Path) -> None:
    with pytest.raises(KeysUnavailable, match="there is no key store"):
        opened(folder, create=False)
    sealed_once(folder)
    halves = (folder / "keys/halves").read_bytes()
    (folder / "keys/halves").unlink()
    with pytest.raises(DamagedKeys, match="halves is missing"):
        opened(folder)
    (folder / "keys/halves").write_bytes(b"something else" * 10)
    with pytest.raises(DamagedKeys, match="damaged or foreign"):
        opened(folder)
    (folder / "keys/halves").write_bytes(halves[:HALF_BYTES])
    keys = opened(folder)
    with pytest.raises(DamagedKeys, match="shorter than it was"):
        keys.store.check()
    keys.close()
    (folder / "keys/halves").write_bytes(halves)
    data = (folder / "keys/data.mdb").read_bytes()
    (folder / "keys/data.mdb").write_bytes(b"\1" * len(data))
    with pytest.raises(DamagedKeys, match=r"restore the folder|damaged or foreign"):
        opened(folder)
    (folder / "keys/data.mdb").unlink()
    with pytest.raises(KeysUnavailable, match="a part of it is missing"):
        opened(folder)
    (folder / "keys/data.mdb").write_bytes(data)
    keys = opened(folder)
    keys.store.check()
    keys.close()


def test_a_file_that_is_no_master_key_is_refused_and_none_is_overwritten(folder: Path) -> None:
    for name, text in (("text", "hello"), ("short", "onewriter-master-key-1 QUJD\n"), ("bytes", "\xff")):
        (folder / name).write_text(text, encoding="latin-1")
        with pytest.raises(KeysUnavailable, match="keys new FILE"):
            load_master_key(folder / name)
    with pytest.raises(KeysUnavailable, match="can't be read: No such file"):
        load_master_key(folder / "missing")
    before = (folder / "master").read_bytes()
    with pytest.raises(KeysUnavailable, match="never overwritten"):
        new_key_file(folder / "master")
    assert (folder / "master").read_bytes() == before


def test_files_are_for_their_owner_alone(folder: Path) -> None:
    sealed_once(folder)
    for name, mode in (("master", 0o600), ("keys", 0o700), ("keys/data.mdb", 0o600), ("keys/halves", 0o600)):
        assert stat.S_IMODE(os.stat(folder / name).st_mode) == mode, name


def test_one_process_writes_and_another_reads_and_follows(folder: Path) -> None:
    body = sealed_once(folder)
    keys = opened(folder)
    with pytest.raises(StoreLocked, match="another opener writes"):
        opened(folder)
    keys.close()
    reader = opened(folder, readonly=True)
    assert reader.unseal(PLACE, body) == b"Ann Smith"
    with pytest.raises(KeysUnavailable, match="open for reading"):
        reader.seal("bob", PLACE, b"Bob")
    reader.close()


def test_more_keys_than_a_chunk_of_halves_and_than_are_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.crypto.keyring.KEPT", 100)
    keys = opened(folder)
    bodies = [keys.seal(f"subject-{number}", PLACE, b"%d" % number) for number in range(CHUNK + 10)]
    keys.flush()
    assert [keys.unseal(PLACE, body) for body in bodies] == [b"%d" % number for number in range(CHUNK + 10)]
    assert keys.store.counts()["keys"] == CHUNK + 10
    assert keys.store.id_of(subject_digest("subject-3")) == bodies[3][:8]
    keys.close()


def test_a_digest_can_only_be_computed_with_the_subjects_key(folder: Path) -> None:
    keys = opened(folder)
    before = keys.digest("ann", b"Ann Smith")
    assert before == keys.digest("ann", b"Ann Smith") != keys.digest("bob", b"Ann Smith")
    keys.destroy(["ann"])
    assert keys.digest("ann", b"Ann Smith") != before
    keys.close()


def test_cryptography_is_imported_when_a_key_is_first_used() -> None:
    program = (
        "import sys; from actors import Domain, System\n"
        "import storage.crypto.key_store, storage.crypto.keyring, storage.crypto.master_key\n"
        "print('cryptography' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "False\n"


def test_a_missing_package_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    ciphers._imported.cache_clear()
    with pytest.raises(KeysUnavailable, match=r"pip install 'onewriter\[crypto\]'"):
        opened(folder)
    ciphers._imported.cache_clear()
