"""Files are overwritten before they are removed."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import lmdb
import pytest

from storage.errors import StorageError
from storage.files import erasing
from storage.files.erasing import erase_file, erase_folder
from storage.files.rewriting import OLD_FILE, rewrite_environment


def test_whoever_has_the_file_open_finds_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "ZEROS", bytes(1000))
    file, told = tmp_path / "secret", []
    file.write_bytes(b"secret" * 1000)
    with file.open("rb") as before:
        erase_file(file, told.append)
        assert before.read() == bytes(6000)
    assert (file.exists(), sum(told)) == (False, 6000)
    erase_file(file)


def test_a_file_that_is_missing_costs_no_memory(tmp_path: Path) -> None:
    """Once a piece of many pages was freed, malloc keeps pieces of that size in the heap.

    LMDB takes two MiB for each environment, and nearly all of them are never touched where they are mapped.
    """
    tracemalloc.start()
    try:
        erase_file(tmp_path / "missing")
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_link_is_removed_and_what_has_another_name_stays(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"kept")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    os.link(tmp_path / "kept", tmp_path / "other")
    for name in ("link", "other"):
        erase_file(tmp_path / name)
    assert (tmp_path / "kept").read_bytes() == b"kept"
    assert os.listdir(tmp_path) == ["kept"]


def test_a_folder_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    for name in ("a/one", "a/b/two"):
        (tmp_path / name).write_bytes(b"secret")
    with (tmp_path / "a/b/two").open("rb") as before:
        erase_folder(tmp_path / "a")
        assert before.read() == bytes(6)
    assert os.listdir(tmp_path) == []
    erase_folder(tmp_path / "a")


def test_a_file_that_can_not_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_bytes(b"secret")

    def fails(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(erasing.os, "pwrite", fails)
    with pytest.raises(StorageError, match="secret cannot be overwritten and removed"):
        erase_file(tmp_path / "secret")
    assert (tmp_path / "secret").exists()


def test_an_environment_is_written_again_and_its_former_file_is_zeros(tmp_path: Path) -> None:
    environment = lmdb.open(str(tmp_path), map_size=1 << 24)
    with environment.begin(write=True) as transaction:
        transaction.put(b"kept", b"kept")
        transaction.put(b"secret", b"secret" * 1000)
    with environment.begin(write=True) as transaction:
        transaction.delete(b"secret")
    with (tmp_path / "data.mdb").open("rb") as former:
        size = (tmp_path / "data.mdb").stat().st_size
        before, after = rewrite_environment(tmp_path, environment)
        assert former.read() == bytes(size)
    assert (before, after) == (size, (tmp_path / "data.mdb").stat().st_size)
    assert b"secret" not in (tmp_path / "data.mdb").read_bytes()
    assert not (tmp_path / OLD_FILE).exists()
    with lmdb.open(str(tmp_path), map_size=1 << 24) as environment, environment.begin() as transaction:
        assert transaction.get(b"kept") == b"kept"
