"""Events of the log that are decoded one by one, when they are accessed."""

from __future__ import annotations

import dataclasses

import pytest

from storage.codec.codec import Codec
from storage.errors import DamagedStore, StorageError
from storage.log.records import RecordedEvent, Undecodable, encode_event
from storage.log.stored_events import StoredEvents, decode_event


@dataclasses.dataclass(frozen=True, slots=True)
class Counted:
    number: int


def make_codec() -> Codec:
    codec = Codec()
    codec.register(Counted)
    return codec


def recorded(position: int) -> RecordedEvent:
    return RecordedEvent(
        position, "s", position, Counted(position), "Counted", 5, f"c-{position}", "Count", tags=("t",)
    )


def stored(codec: Codec, first: int, last: int) -> StoredEvents:
    values = [encode_event(codec, recorded(position)) for position in range(first, last + 1)]
    return StoredEvents(codec, first - 1, values)


def test_they_are_a_sequence_of_events() -> None:
    events = stored(make_codec(), 11, 20)
    assert len(events) == 10
    assert list(events) == [recorded(position) for position in range(11, 21)]
    assert (events[0], events[-1]) == (recorded(11), recorded(20))
    assert list(events[3:5]) == [recorded(14), recorded(15)]
    assert events[3:][0] == recorded(14)
    with pytest.raises(IndexError):
        events[10]
    with pytest.raises(ValueError, match="one after another"):
        events[::2]


def test_an_event_is_decoded_when_it_is_looked_at_and_not_before() -> None:
    codec = make_codec()
    built: list[int] = []

    @dataclasses.dataclass(frozen=True, slots=True)
    class Seen:
        number: int

        def __post_init__(self) -> None:
            built.append(self.number)

    poor = Codec()
    poor.register(Seen, "Counted")
    events = iter(StoredEvents(poor, 0, stored(codec, 1, 3)._values))
    assert built == []
    next(events)
    assert built == [1]


def test_what_can_not_be_decoded_stands_there_with_the_reason() -> None:
    events = StoredEvents(Codec(), 6, stored(make_codec(), 7, 8)._values)
    for position, one in enumerate(events, 7):
        assert isinstance(one.event, Undecodable)
        assert one.event.error.__notes__ == [f"in the event at position {position}"]


@pytest.mark.parametrize("record", [b"\x93\x01\x02\x03", b"\x05", b"\x80"])
def test_a_record_that_is_no_event_is_not_taken_for_damage_of_what_it_is_applied_to(record: bytes) -> None:
    codec = make_codec()
    with pytest.raises(DamagedStore, match="the record at position 3 is not an event"):
        decode_event(codec, 3, record)
    with pytest.raises(StorageError, match="the record at position 3 is not an event") as caught:
        list(StoredEvents(codec, 2, [record]))
    assert not isinstance(caught.value, DamagedStore)
    assert caught.value.__suppress_context__


def test_the_origin_of_a_command_is_no_part_of_its_event() -> None:
    codec = make_codec()
    assert decode_event(codec, 4, encode_event(codec, recorded(4), b"digest")) == recorded(4)
