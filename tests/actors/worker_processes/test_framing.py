"""Frames come out of a stream as they went in, and a line never has its writer wait."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.worker_processes.wire.framing import Connection, FrameDecoder, frame
from tests.helpers import PATIENCE, Threads


@given(st.lists(st.binary(max_size=40), max_size=20), st.data())
def test_frames_are_cut_as_they_were_joined_however_they_arrive(
    bodies: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(map(frame, bodies))
    frames = FrameDecoder()
    found: list[bytes] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += frames.feed(stream[:size])
        stream = stream[size:]
    assert found == bodies


def test_a_long_frame_in_many_pieces_is_one() -> None:
    body = bytes(range(256)) * 4096
    stream = frame(body) + frame(b"next")
    frames = FrameDecoder()
    found = []
    for at in range(0, len(stream), 1000):
        found += frames.feed(stream[at : at + 1000])
    assert found == [body, b"next"]


@pytest.fixture
def ends() -> Iterator[tuple[Connection, Connection]]:
    one, other = (Connection(sock) for sock in socket.socketpair())
    yield one, other
    one.close()
    other.close()


def receive(line: Connection, count: int) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < count:
        assert line.readable(PATIENCE)
        bodies = line.receive()
        assert bodies is not None
        found += bodies
    return found


def test_what_finds_no_room_is_kept_and_sent_by_the_reader(ends: tuple[Connection, Connection]) -> None:
    one, other = ends
    bodies = [bytes([number]) * 50_000 for number in range(100)]
    went = [one.send(body) for body in bodies]
    assert went[0]
    assert not went[-1]
    with Threads() as threads:
        threads.start(
            lambda: (receive(other, 100) == bodies or pytest.fail("others came"), other.send(b"all"))
        )
        assert receive(one, 1) == [b"all"]


def test_the_end_of_a_line_is_found_by_both(ends: tuple[Connection, Connection]) -> None:
    one, other = ends
    one.send(b"last")
    one.shutdown()
    assert other.receive() == [b"last"]
    assert other.receive() is None
    assert one.receive() is None
    assert one.send(b"nobody reads this")
    with pytest.raises(OSError, match="pipe"):
        one.send_all(frame(b"nor this"))


def test_a_reader_that_wants_no_more_gets_what_is_there(ends: tuple[Connection, Connection]) -> None:
    one, other = ends
    one.send(b"first")
    other.shutdown_reading()
    assert other.receive() == [b"first"]
    assert other.receive() is None


def test_an_impatient_line_gives_up_waiting() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert Connection(one, bounded=True).receive() == []


def test_nothing_is_readable_where_nothing_was_sent(ends: tuple[Connection, Connection]) -> None:
    assert not ends[0].readable(0.0)
    assert not ends[0].ready_to_receive(0.0)
    assert ends[0].ready_to_receive(10.0)
