"""Where positions of a log are in its copy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.migration import position_mapping
from actors.migration.moved_positions import NOWHERE, MovedPositions
from actors.migration.position_mapping import MappingBuilder, PositionMapping
from actors.process_managers.input_order import EVENT, OTHER, Order


def mapping_of(counts: list[int], cuts: frozenset[int] = frozenset()) -> PositionMapping:
    """The mapping of a log whose events gave so many events each, written in parts."""
    notes: dict[bytes, bytes] = {}
    builder = MappingBuilder(notes.get, 0)
    for position, count in enumerate(counts, 1):
        builder.add(count)
        if position in cuts:
            notes.update({key: value for key, value in builder.take() if value is not None})
            builder = MappingBuilder(notes.get, position)  # as after the end of the process
    notes.update({key: value for key, value in builder.take() if value is not None})
    return PositionMapping(notes.get, len(counts))


@given(
    st.lists(st.sampled_from([0, 1, 1, 1, 2, 5]), max_size=60),
    st.frozensets(st.integers(1, 60)),
    st.sampled_from([1, 2, 7, 4096]),
)
def test_it_says_of_every_position_where_it_is(counts: list[int], cuts: frozenset[int], bucket: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(position_mapping, "BUCKET", bucket)
        mapping = mapping_of(counts, cuts)
        after = 0
        for position, count in enumerate(counts, 1):
            assert list(mapping.events(position)) == list(range(after + 1, after + count + 1))
            after += count
            assert mapping.checkpoint(position) == after
            for event in mapping.events(position):
                assert mapping.original(event) == position
        assert mapping.checkpoint(0) == 0
        assert mapping.checkpoint(len(counts) + 5) == after
        assert list(mapping.events(len(counts) + 1)) == list(mapping.events(0)) == []
        for beyond in (0, after + 1):
            with pytest.raises(ValueError, match="the copy had no position"):
                mapping.original(beyond)


MOVED = MovedPositions(mapping_of([1, 0, 3, 1]))
"""1 is 1, 2 is dropped, 3 is 2 to 4, 4 is 5."""


@pytest.mark.parametrize(
    ("order", "moved"),
    [
        (Order(1), Order(1)),
        (Order(2), Order(1, OTHER, 0, 2)),
        (Order(3), Order(2)),
        (Order(3, EVENT, 0, 0, 2), Order(4, EVENT, 0, 0, 2)),
        (Order(2, EVENT, 0, 0, 2), Order(1, OTHER, 0, 2, 2)),
        (Order(3, OTHER, 7, 1), Order(4, OTHER, 7, 1)),
        (Order(0, OTHER, 7, 1), Order(0, OTHER, 7, 1)),
    ],
)
def test_an_order_follows_its_event(order: Order, moved: Order) -> None:
    assert MOVED.order(order) == moved


def test_what_was_in_order_still_is() -> None:
    orders = sorted(
        Order(position, kind, step, 0, more)
        for position in range(5)
        for kind in (EVENT, OTHER)
        for step in ((0,) if kind == EVENT else (10 * position + 1, 10 * position + 2))
        for more in (0, 1)
    )
    kept = [MOVED.order(one) for one in orders if one.kind == OTHER or one.position != 2]
    assert kept == sorted(kept)
    assert len({MOVED.order(one) for one in orders}) == len(orders)


@pytest.mark.parametrize(
    ("id", "moved"),
    [
        ("m:3", "m:2"),
        ("m:3:t0", "m:2:t0"),
        ("m:3.1:t0", "m:2.1:t0"),
        ("m:3:0:mark:r", "m:2:0:mark:r"),
        ("m:2:t0", f"m:{NOWHERE + 2}:t0"),
        (f"m:{NOWHERE + 2}:t0", f"m:{NOWHERE + 2}:t0"),
        ("m:checkpoint:4.1.0.0", "m:checkpoint:5.1.0.0"),
        ("other:3:t0", "other:3:t0"),
        ("m:30ab", "m:30ab"),
        ("x:m:3", "x:m:3"),
        ("", ""),
    ],
)
def test_an_id_of_a_manager_follows_its_event(id: str, moved: str) -> None:
    assert MOVED.id("m", id) == moved


def test_a_manager_that_was_renamed_has_its_former_name_in_ids() -> None:
    renamed = MovedPositions(MOVED.mapping, {"new": "m"})
    assert renamed.id("new", "m:3:t0") == "m:2:t0"
    assert renamed.id_of_event("new", 2, 0) == "m:2"
    assert renamed.id_of_event("new", 2, 1) == "m:2.1"
