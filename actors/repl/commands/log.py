"""`:log`, `:stream` and `:follow`: events of the log, and those that come. The session's thread.

What follows in the background has a thread of its own, which waits for events and polls nothing.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from actors.cli.errors import UsageError, describe, short
from actors.repl.ast import CallNode
from actors.repl.meta_command import meta_command
from actors.repl.options import FILTER_OPTIONS, FOLLOW_OPTIONS, read_options
from actors.repl.shell import Shell
from actors.repl.tables import event_text, events_table
from storage import RecordedEvent
from storage.errors import OnewriterError

__all__ = ["COMMANDS"]

EVENTS = 20
"""How many events `:log` and `:stream` show by default."""


@meta_command(":log [AFTER] [LIMIT] [--type=NAME ...]", FILTER_OPTIONS)
def log(shell: Shell, call: CallNode) -> None:
    """Events of the log: the last ones, or those after a position."""
    wanted = _filters(read_options(call, FILTER_OPTIONS, shell.converter))
    after, limit = shell.arguments(call, (("AFTER", int, None), ("LIMIT", int, EVENTS)))
    head = shell.system.position
    if limit < 0 or (after is not None and after < 0):
        raise UsageError("AFTER and LIMIT count from 0")
    if wanted:
        _filtered(shell, wanted, after, limit, head)
        return
    first = max(head - limit, 0) if after is None else after
    until = min(head, first + limit)
    events = list(shell.system.subscribe(first, until=until, undecodable=True)) if until > first else []
    if not events:
        shell.show(f"no events after position {first}; the log ends at {head}", events=[], position=head)
        return
    title = f"{len(events)} of {head} events"
    if until < head:
        title += f"; the next ones: :log {until}"
    shell.show(events_table(events, shell.vocabulary).titled(title), events=events, position=head)


def _filtered(shell: Shell, wanted: Mapping[str, Any], after: int | None, limit: int, head: int) -> None:
    # Made even where there is nothing to read, for it looks at the filters.
    found: Iterable[RecordedEvent] = shell.system.subscribe(
        after or 0, until=head, undecodable=True, **wanted
    )
    if head <= (after or 0):
        found = ()
    events = list(deque(found, limit) if after is None else islice(found, limit))
    if not events:
        where = f" after position {after}" if after else ""
        shell.show(f"no such events{where}; the log ends at {head}", events=[], position=head)
        return
    title = f"{len(events)} such event{'s' * (len(events) != 1)} of {head}"
    if after is not None and len(events) == limit:
        title += f"; the next ones: :log {events[-1].position} with the same options"
    shell.show(events_table(events, shell.vocabulary).titled(title), events=events, position=head)


@meta_command(":stream NAME [AFTER] [LIMIT]", completes=("stream",))
def stream(shell: Shell, call: CallNode) -> None:
    """Events of one stream, from the first or after a version."""
    hints = (("NAME", str, ...), ("AFTER", int, 0), ("LIMIT", int, EVENTS))
    name, after, limit = shell.arguments(call, hints)
    if after < 0 or limit < 1:
        raise UsageError("AFTER counts from 0 and LIMIT from 1")
    events = shell.system.stream(name, after, limit + 1, undecodable=True)
    if not events:
        shell.show(
            f"stream {short(name)} has no events{f' after version {after}' if after else ''}",
            stream=name,
            events=[],
        )
        return
    title = f"stream {name}"
    if len(events) > limit:
        title += f"; the next ones: :stream {name} {events[limit - 1].version}"
    table = events_table(events[:limit], shell.vocabulary).titled(title)
    shell.show(table, stream=name, events=events[:limit])


@meta_command(":follow [AFTER] [--type=NAME ...] [--count=N] [--seconds=S] [--background]", FOLLOW_OPTIONS)
def follow(shell: Shell, call: CallNode) -> None:
    """Show events as they are committed, from now on or after a position; Ctrl-C ends it."""
    options = read_options(call, FOLLOW_OPTIONS, shell.converter)
    (after,) = shell.arguments(call, (("AFTER", int, None),))
    if after is not None and after < 0:
        raise UsageError("AFTER counts from 0")
    for name in ("count", "seconds"):
        if options.get(name, 1) <= 0:
            raise UsageError(f"--{name} must be more than 0")
    following = EventFollower(shell, shell.system.position if after is None else after, options)
    if options.get("background"):
        shell.watches[:] = [one for one in shell.watches if not one.ended]
        shell.watches.append(following)
        following.start()
        return
    try:
        following.run()
    except KeyboardInterrupt:
        shell.output.note("\nno longer followed")


class EventFollower:
    """Shows events as they come: in the thread that calls `run`, or in one of its own after `start`."""

    def __init__(self, shell: Shell, after: int, options: Mapping[str, Any]) -> None:
        """Raises what `System.subscribe` does for filters that make no sense."""
        self._shell = shell
        self._wanted = _filters(options)
        self._last = after
        self._left = options.get("count")
        self._seconds = options.get("seconds")
        self._events = shell.system.subscribe(after, undecodable=True, **self._wanted)
        self._over = False
        self._thread: threading.Thread | None = None
        self.text = ":follow"
        self.ended = False

    def start(self) -> None:
        """Go on in a thread of its own until `stop`, or until enough was shown."""
        self._thread = threading.Thread(target=self._in_thread, name="onewriter-follow", daemon=True)
        self._thread.start()

    def _in_thread(self) -> None:
        try:
            self.run()
        except Exception as error:
            self._over = True
            self._shell.output.error(f"following ended: {describe(error)}")
        finally:
            self.ended = True

    def run(self) -> None:
        """Show events until there were `count`, `seconds` are over, or it is stopped."""
        timer = None
        if self._seconds is not None:
            timer = threading.Timer(self._seconds, self._end)
            timer.daemon = True
            timer.start()
        try:
            self._show(self._events)
        finally:
            self._events.close()
            if timer is not None:
                timer.cancel()

    def _end(self) -> None:
        self._over = True
        self._events.close()

    def _show(self, events: Iterable[RecordedEvent]) -> None:
        for one in events:
            event = event_text(one, self._shell.vocabulary)
            self._shell.show(f"{one.position}: {one.stream} {one.version} {event}", event=one)
            self._last = one.position
            if self._left is not None:
                self._left -= 1
                if self._left <= 0:
                    self._over = True
                    return

    def stop(self, position: int, timeout: float) -> bool:
        """End it once it has shown what came up to `position`; False when it did not end in time."""
        self._events.close()
        if self._thread is not None:
            self._thread.join(timeout)
        if not self.ended:
            return False
        if position > self._last and not self._over:
            # What was committed and not taken yet when it was closed.
            try:
                subscribe = self._shell.system.subscribe
                self._show(subscribe(self._last, until=position, undecodable=True, **self._wanted))
            except OnewriterError as error:
                self._shell.output.error(f"following ended: {describe(error)}")
        return True


def _filters(options: Mapping[str, Any]) -> dict[str, Any]:
    """What `System.subscribe` takes, of the options."""
    wanted = {name: options[name] for name in ("stream", "category", "tag") if name in options}
    if "type" in options:
        wanted["types"] = [options["type"]]
    return wanted


COMMANDS = (
    log,
    stream,
    follow,
)
