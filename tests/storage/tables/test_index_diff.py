"""Which entries an index loses and gains, held against all entries before and after."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.codec.keys import encode_component
from storage.errors import InvalidKey, KeyTooLong
from storage.tables.index import Index, IndexSpec, each, words
from storage.tables.index_diff import index_diff

ONE, SEVERAL, MANY = "name", ("family", "name"), ("family", each("colours"))
SPECS: list[IndexSpec] = [ONE, SEVERAL, each("colours"), words("name"), MANY]
KEYS = [b"a", b"b", b"c"]
ROWS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["oak", "Oak", "red oak", "elm", "", None]),
        "family": st.sampled_from(["beech", "elm", 1, 1.0, True, Decimal(1), None, Decimal("1.0")]),
        "colours": st.sampled_from(
            [None, [], ["red"], ["red", "red"], ("red", "green"), {"green"}, [1], [True]]
        ),
    },
)


def entries(index: Index, rows: dict[bytes, Any]) -> set[tuple[bytes, bytes]]:
    """All entries of these rows, each with its row's key."""
    return {(entry, key) for key, row in rows.items() if row is not None for entry in index.entries(row, key)}


@given(data=st.data(), spec=st.sampled_from(SPECS))
def test_what_is_deleted_and_put_makes_the_entries_before_those_after(data: Any, spec: IndexSpec) -> None:
    index = Index("plants", spec)
    before = data.draw(st.dictionaries(st.sampled_from(KEYS), ROWS))
    changed = data.draw(st.dictionaries(st.sampled_from(KEYS), st.none() | ROWS))
    removed, added = index_diff(index, changed.items(), before)
    of_before, of_after = entries(index, before), entries(index, {**before, **changed})
    assert set(added) == of_after - of_before
    assert set(removed) == {entry for entry, _ in of_before - of_after}
    assert removed == sorted(removed)
    assert added == sorted(added)
    assert len(set(removed)) == len(removed)
    assert len(set(added)) == len(added)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_row_that_stays_as_it_was_changes_no_entry(spec: IndexSpec) -> None:
    row = {"name": "red oak", "family": "beech", "colours": ["red", "green"]}
    assert index_diff(Index("plants", spec), [(b"a", dict(row))], {b"a": row}) == ([], [])


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_row_that_is_put_again_in_the_same_object_changes_no_entry(spec: IndexSpec) -> None:
    row = {"name": "red oak", "family": "beech", "colours": ["red", "green"]}
    assert index_diff(Index("plants", spec), [(b"a", row)], {b"a": row}) == ([], [])


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_row_that_was_not_there_and_is_deleted_changes_no_entry(spec: IndexSpec) -> None:
    assert index_diff(Index("plants", spec), [(b"a", None)], {}) == ([], [])
    assert index_diff(Index("plants", spec), [(b"a", None)], {b"a": None}) == ([], [])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        (Decimal("1.0"), Decimal("1.00")),
        (datetime(2024, 7, 1, 12, tzinfo=UTC), datetime(2024, 7, 1, 12, tzinfo=UTC) + timedelta(0)),
    ],
)
@pytest.mark.parametrize("spec", [ONE, ("name", "family")], ids=str)
def test_equal_values_are_the_same_entry_where_their_encodings_are(
    spec: IndexSpec, old: Any, new: Any
) -> None:
    removed, added = index_diff(Index("plants", spec), [(b"a", {"name": new})], {b"a": {"name": old}})
    assert bool(removed) is bool(added) is (encode_component(old) != encode_component(new))


class Caseless(str):
    """A text of which two are equal that have another encoding."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.lower() == other.lower()

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("spec", "old", "new"),
    [
        (each("name"), [1], [True]),
        (ONE, Caseless("oak"), Caseless("OAK")),
        (("name", "family"), Caseless("oak"), Caseless("OAK")),
    ],
    ids=str,
)
def test_equal_values_of_other_types_are_told_apart_by_their_encodings(
    spec: IndexSpec, old: Any, new: Any
) -> None:
    index = Index("plants", spec)
    removed, added = index_diff(index, [(b"a", {"name": new})], {b"a": {"name": old}})
    assert [*removed, *(entry for entry, _ in added)] == [
        *index.entries({"name": old}, b"a"),
        *index.entries({"name": new}, b"a"),
    ]
    assert removed


@pytest.mark.parametrize(
    ("spec", "row", "named"),
    [
        (ONE, {"name": "a\ud800"}, "table 'plants', index 'name', name: "),
        (ONE, {"name": object()}, "table 'plants', index 'name', name: "),
        (SEVERAL, {"family": object()}, "table 'plants', index 'family,name', family: "),
        (words("name"), {"name": 7}, r"table 'plants', index 'words\(name\)', words\(name\): "),
        (each("colours"), {"colours": "red"}, r"table 'plants', index 'each\(colours\)', each\(colours\): "),
    ],
)
def test_what_can_not_be_indexed_is_an_error_that_names_the_column(
    spec: IndexSpec, row: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidKey, match=named):
        index_diff(Index("plants", spec), [(b"a", row)], {})
    stored = {"name": "oak", "family": "beech", "colours": ["red"]}
    with pytest.raises(InvalidKey, match=named):
        index_diff(Index("plants", spec), [(b"a", row)], {b"a": stored})


@pytest.mark.parametrize("spec", [ONE, SEVERAL], ids=str)
@pytest.mark.parametrize("stored", [{}, {b"a": {"name": "oak"}}], ids=["a new row", "a row that changes"])
def test_an_entry_may_have_511_bytes_and_no_more(spec: IndexSpec, stored: Any) -> None:
    index = Index("plants", spec)
    longest = 511 - len(b"".join([*index.entries({"name": ""}, b"a")]))
    index_diff(index, [(b"a", {"name": "x" * longest})], stored)
    with pytest.raises(KeyTooLong, match=r"index '.*', value and key of the row: the key takes 512 bytes"):
        index_diff(index, [(b"a", {"name": "x" * (longest + 1)})], stored)
