"""A process that packs runs of events for a backup that another one makes. Its only thread.

It has a socket to that process, and opens the file of the backup. It is asked for runs, says how large each
is when it is packed, and writes it to the file once it is told where. Messages are msgpack, in a row.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import msgpack

from storage.backup.event_run import PackedRun, pack_run
from storage.backup.segment_format import Point
from storage.codec.codec import Codec
from storage.files.opening_resources import Descriptor
from storage.files.published_file import write_at
from storage.log.log_follower import LogFollower

__all__ = ["FAILED", "PACK", "PACKED", "READY", "WRITE", "WRITTEN", "main", "messages"]

READY, PACK, PACKED, WRITE, WRITTEN, FAILED = "ready", "pack", "packed", "write", "written", "failed"
"""Words at the beginning of messages.

`PACK` comes with the number of a run, two points and the events of a block; `PACKED` with the number, the
heads of all blocks and their bytes; `WRITE` with the number and an offset; `WRITTEN` with the number; and
`FAILED` with the reason.
"""
CHUNK = 1 << 16


def messages(connection: socket.socket) -> Iterator[list[Any]]:
    """Messages as they come, until the other side closes the connection. Raises OSError."""
    unpacker = msgpack.Unpacker()
    while data := connection.recv(CHUNK):
        unpacker.feed(data)
        yield from unpacker


def main(arguments: Sequence[str]) -> None:
    """Serve until the connection ends.

    Given are the store, the folder of its archives, the file, and the number of the socket.
    """
    path, archives, target, number = *arguments[:3], int(arguments[3])
    packed: dict[int, PackedRun] = {}
    with socket.socket(fileno=number) as connection:

        def say(*message: object) -> None:
            connection.sendall(msgpack.packb(message))

        try:
            with (
                LogFollower.open(path, Codec(), archives_path=archives) as log,
                Descriptor(target, os.O_WRONLY) as file,
            ):
                say(READY)
                for word, run, *values in messages(connection):
                    if word == PACK:
                        begin, end, stretch = values
                        packed[run] = done = pack_run(log, Point(*begin), Point(*end), stretch)
                        say(PACKED, run, done.heads, done.size)
                    else:
                        write_at(file, values[0], packed.pop(run).blocks)
                        say(WRITTEN, run)
        except BrokenPipeError:
            return  # the backup is over
        except Exception as error:
            # The other process does the work itself, and finds what is wrong.
            say(FAILED, f"{type(error).__name__}: {error}")
