"""Maps that nobody gave a size for: large for the first stores, small for the thousandth, never below the
file.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.files import environment, map_sizes
from storage.files.environment import open_environment
from storage.files.map_sizes import LARGEST_MAP, SMALLEST_MAP, chosen_map_size

TIB, GIB = 1 << 40, 1 << 30
USUAL = 128 * TIB


def maps_that_fit(total: int, most: int) -> list[int]:
    """The maps of new files, one after the other, until one does not fit."""
    used, sizes = 0, []
    while len(sizes) < most:
        size = chosen_map_size(total, used, 0)
        if used + size > total:
            break
        sizes.append(size)
        used += size
    return sizes


def test_the_first_stores_get_a_tebibyte_each_and_thousands_fit() -> None:
    sizes = maps_that_fit(USUAL, 4000)
    assert sizes[:64] == [TIB] * 64
    assert len(sizes) == 4000
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2000] >= 4 * GIB


@pytest.mark.parametrize("total", [8 * GIB, 64 * GIB, 512 * GIB, 256 * TIB])
def test_small_and_large_address_spaces_are_used_up_slowly(total: int) -> None:
    sizes = maps_that_fit(total, 4000)
    assert len(sizes) >= min(total // GIB // 2, 4000)
    assert min(sizes) >= SMALLEST_MAP
    assert max(sizes) <= LARGEST_MAP


@pytest.mark.parametrize("file_size", [0, 1, GIB // 2, GIB, 3 * GIB, 600 * GIB, 2 * TIB])
@pytest.mark.parametrize("used", [0, USUAL // 2, USUAL - 100 * GIB, USUAL])
def test_a_file_has_room_to_double(file_size: int, used: int) -> None:
    size = chosen_map_size(USUAL, used, file_size)
    assert size >= 2 * file_size
    assert size & (size - 1) == 0
    assert size <= max(LARGEST_MAP, 4 * file_size)


def test_a_store_is_opened_with_a_map_for_its_file_where_little_is_left(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_environment(store_path).close()
    with (store_path / "data.mdb").open("r+b") as file:
        file.truncate(3 * GIB)  # a hole: it takes no disk
    monkeypatch.setattr(map_sizes, "_used", lambda: USUAL - 100 * GIB)
    monkeypatch.setattr(map_sizes, "_address_space", lambda: USUAL)
    opened = open_environment(store_path)
    assert opened.info()["map_size"] == 8 * GIB
    opened.close()


def test_a_map_that_a_file_has_outgrown_holds_it_all_the_same(store_path: Path) -> None:
    with open_environment(store_path, map_size=1 << 24) as opened, opened.begin(write=True) as transaction:
        for number in range(200):
            transaction.put(b"%d" % number, bytes(50_000))
    with open_environment(store_path, map_size=1 << 20) as small, small.begin() as transaction:
        assert transaction.stat()["entries"] == 200
        assert small.info()["map_size"] >= 200 * 50_000


def test_what_is_used_up_is_named(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no address space is left" in map_sizes.what_is_used_up()
    monkeypatch.setattr(map_sizes, "_lines_of", lambda _: 65_000)
    monkeypatch.setattr(map_sizes, "_number_in", lambda file: 65_530 if "max_map" in file else 1)
    assert "65,000 of 65,530 memory mappings" in map_sizes.what_is_used_up()
    assert "vm.max_map_count" in map_sizes.what_is_used_up()


def test_a_system_without_proc_gets_the_usual_size(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_sizes, "_used", lambda: 0)
    monkeypatch.setattr(map_sizes, "_machine_address_space", lambda: 1 << map_sizes.USUAL_BITS)
    assert environment.map_size_here(store_path / "data.mdb") == TIB
