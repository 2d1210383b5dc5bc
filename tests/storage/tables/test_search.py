"""What a search looks for, and that a row that an index has several times is read once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.codec.keys import encode_component
from storage.tables.index import Index, IndexSpec, each, words
from storage.tables.search import Entries, Search, once_each

CHUNKS = st.lists(st.lists(st.tuples(st.binary(max_size=2), st.sampled_from([b"a", b"b", b"c", b"d"]))))


def test_a_search_has_the_bounds_the_direction_and_the_limit_it_is_given() -> None:
    index = Index("plants", "name")
    search = Search(index, index.bounds("elm", "oak"), True, 7)
    assert (search.index, search.reverse, search.limit) == (index, True, 7)
    assert (search.low, search.high) == (encode_component("elm"), encode_component("oak"))
    plain = Search(index, index.bounds())
    assert (plain.low, plain.high, plain.reverse, plain.limit) == (b"", None, False, None)


@pytest.mark.parametrize(
    ("spec", "equal", "repeats"),
    [
        ("name", None, False),
        (("family", "name"), "beech", False),
        (each("colours"), None, True),
        (each("colours"), "red", False),
        (("family", words("name")), None, True),
        (("family", words("name")), "beech", True),
        (("family", words("name")), ("beech", "oak"), False),
        ((each("colours"), "family"), None, True),
        ((each("colours"), "family"), "red", False),
    ],
)
def test_a_row_can_come_several_times_until_its_many_valued_column_is_given(
    spec: IndexSpec, equal: object, repeats: bool
) -> None:
    index = Index("plants", spec)
    assert Search(index, index.bounds(equal=equal)).repeats is repeats


@given(chunks=CHUNKS)
def test_the_first_entry_of_each_row_is_given_in_the_order_of_the_entries(chunks: list[Entries]) -> None:
    given = [item for chunk in once_each(chunks, None) for item in chunk]
    first: dict[bytes, tuple[bytes, bytes]] = {}
    for item in (item for chunk in chunks for item in chunk):
        first.setdefault(item[1], item)
    assert given == list(first.values())


@given(chunks=CHUNKS, limit=st.integers(1, 5))
def test_a_limit_counts_rows_and_not_entries(chunks: list[Entries], limit: int) -> None:
    every = [item for chunk in once_each(chunks, None) for item in chunk]
    assert [item for chunk in once_each(chunks, limit) for item in chunk] == every[:limit]


def test_no_more_is_read_once_the_limit_is_reached() -> None:
    read: list[int] = []

    def chunks() -> object:
        for number, chunk in enumerate([[(b"1", b"a")], [(b"2", b"a"), (b"3", b"b")], [(b"4", b"c")]]):
            read.append(number)
            yield chunk

    assert list(once_each(chunks(), 2)) == [[(b"1", b"a")], [(b"3", b"b")]]  # type: ignore[arg-type]
    assert read == [0, 1]
