"""What the storage relies on in LMDB and its Python package, tested with these alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import lmdb
import pytest


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[lmdb.Environment]:
    with lmdb.open(os.fspath(tmp_path / "data"), map_size=1 << 40, max_dbs=4) as environment:
        with environment.begin(write=True) as transaction:
            for key in (b"a", b"b", b"c"):
                transaction.put(key, key.upper())
        yield environment


def test_a_key_has_511_bytes_at_most(environment: lmdb.Environment) -> None:
    assert environment.max_key_size() == 511
    with environment.begin(write=True) as transaction:
        assert transaction.put(b"x" * 511, b"")
        with pytest.raises(lmdb.BadValsizeError):
            transaction.put(b"x" * 512, b"")


def test_a_map_of_a_tebibyte_takes_a_file_of_some_pages(environment: lmdb.Environment) -> None:
    assert environment.info()["map_size"] == 1 << 40
    assert os.stat(os.path.join(environment.path(), "data.mdb")).st_size < 1 << 20


def test_a_key_that_is_appended_out_of_order_is_left_out_without_an_error(
    environment: lmdb.Environment,
) -> None:
    with environment.begin(write=True) as transaction:
        assert not transaction.put(b"bb", b"", append=True)
        assert transaction.cursor().putmulti([(b"d", b""), (b"c", b"x"), (b"e", b"")], append=True) == (3, 2)
        assert [key for key, _ in transaction.cursor()] == [b"a", b"b", b"c", b"d", b"e"]
        assert transaction.get(b"c") == b"C"


def test_an_environment_is_opened_once_in_a_process(environment: lmdb.Environment) -> None:
    with pytest.raises(lmdb.Error, match="already open in this process"):
        lmdb.open(environment.path())


def test_getmulti_gives_what_is_there_in_the_order_asked(environment: lmdb.Environment) -> None:
    with environment.begin() as transaction, transaction.cursor() as cursor:
        assert cursor.getmulti([b"c", b"x", b"a"]) == [(b"c", b"C"), (b"a", b"A")]


def test_a_cursor_at_its_end_and_one_that_found_nothing_begin_at_the_first_key(
    environment: lmdb.Environment,
) -> None:
    with environment.begin() as transaction, transaction.cursor() as cursor:
        assert len(list(cursor.iternext())) == 3
        assert [key for key, _ in islice(cursor.iternext(), 1)] == [b"a"]
        assert not cursor.set_range(b"x")
        assert [key for key, _ in cursor.iternext()] == [b"a", b"b", b"c"]
        iterator = iter(cursor)
        assert len(list(iterator)) == 3
        assert list(iterator) == []


def test_an_empty_key_is_an_error_to_get_and_no_key_to_set_range(environment: lmdb.Environment) -> None:
    with environment.begin() as transaction:
        with pytest.raises(lmdb.BadValsizeError):
            transaction.get(b"")
        assert transaction.get(b"x" * 600) is None
        with transaction.cursor() as cursor:
            assert cursor.set_range(b"")
            assert cursor.key() == b"a"


def test_a_reader_sees_the_moment_at_which_it_began(environment: lmdb.Environment) -> None:
    with environment.begin() as before:
        with environment.begin(write=True) as transaction:
            transaction.put(b"d", b"D")
        assert before.get(b"d") is None
        assert before.stat()["entries"] == 3


def test_a_reader_without_the_lock_file_takes_no_slot(environment: lmdb.Environment, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    environment.copy(os.fspath(copy))
    with lmdb.open(os.fspath(copy), readonly=True, lock=False, create=False) as reader:
        assert reader.begin().get(b"a") == b"A"
    assert not (copy / "lock.mdb").exists()


def test_the_check_of_a_files_structure_is_a_module_to_be_imported_by_name() -> None:
    import lmdb.verify as verify

    assert callable(verify.verify)


def test_what_is_deleted_stays_in_the_file_and_is_not_in_a_compact_copy(
    environment: lmdb.Environment, tmp_path: Path
) -> None:
    values = [b"secret-%d" % number * 700 for number in range(20)]
    with environment.begin(write=True) as transaction:
        for number, value in enumerate(values):
            transaction.put(b"%d" % number, value)
    with environment.begin(write=True) as transaction:
        for number in range(len(values)):
            transaction.delete(b"%d" % number)
    assert b"secret-7" in (tmp_path / "data/data.mdb").read_bytes()
    with (tmp_path / "copy.mdb").open("wb") as file:
        environment.copyfd(file.fileno(), compact=True)
    copied = (tmp_path / "copy.mdb").read_bytes()
    assert (b"secret" in copied, b"A" in copied) == (False, True)


def test_the_number_of_the_last_transaction_tells_of_a_commit(environment: lmdb.Environment) -> None:
    before = environment.info()["last_txnid"]
    assert environment.info()["last_txnid"] == before
    with environment.begin(write=True) as transaction:
        transaction.put(b"d", b"D")
    assert environment.info()["last_txnid"] == before + 1


def test_pages_of_values_that_became_shorter_stay_half_empty_in_a_compact_copy_too(
    environment: lmdb.Environment, tmp_path: Path
) -> None:
    def leaf_pages(opened: lmdb.Environment) -> int:
        pages: int = opened.stat()["leaf_pages"]
        return pages

    keys = [number.to_bytes(8) for number in range(5_000)]
    with environment.begin(write=True) as transaction:
        for key in keys:
            transaction.put(key, bytes(300))
    before = leaf_pages(environment)
    with environment.begin(write=True) as transaction:
        for key in keys:
            transaction.put(key, bytes(100))
    assert leaf_pages(environment) == before
    (tmp_path / "copy").mkdir()
    environment.copy(str(tmp_path / "copy"), compact=True)
    with lmdb.open(str(tmp_path / "copy"), lib_version=0) as copy:
        assert leaf_pages(copy) == before
