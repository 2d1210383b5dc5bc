"""What a process manager does with one input: pure, and the same on every run. Any thread; no file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Literal

from actors.domain.process_manager_spec import Handlers, ProcessManagerSpec
from actors.domain.source_location import name_of
from actors.errors import DeciderFailed, InvalidMessage, UnknownMessage
from actors.process_managers.inputs import NO_INSTANCE, Decision, Input, Instance, Issued, Timer
from actors.process_managers.unreadable_values import Unreadable, class_of
from storage.log.records import EPOCH
from storage.value_text import short_repr

__all__ = ["Do", "decide", "without"]

Missed = Literal["all", "last", "skip"]
MICROSECOND = timedelta(microseconds=1)
LATEST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
LONGEST_ID = 120
"""Bytes of an id; what goes further, as after many rejections in a row, is put as its digest."""


class Do:
    """What a handler asks for. Nothing happens before it has returned; then all of it, or nothing."""

    def __init__(
        self, spec: ProcessManagerSpec, input: Input, instance: Instance, now_us: int | None = None
    ) -> None:
        """For `decide`."""
        self._now_us = input.time_us if now_us is None else now_us
        self._spec = spec
        self._input = input
        self._ends = False
        self._decision = Decision(instance)
        self._timers = list(instance.timers)

    @property
    def key(self) -> str:
        """The instance's key."""
        return self._input.key

    @property
    def now(self) -> datetime:
        """When the input came about, in UTC: the event's time, or what the timer was due at."""
        return EPOCH + timedelta(microseconds=self._input.time_us)

    def execute(self, command: Any) -> None:
        """Execute a command, once. If it is rejected, its `on_rejected` handler gets the instance's next
        input.
        """
        if type(command) not in self._spec.commands:
            raise UnknownMessage(
                f"do.execute({short_repr(command, 100)}): that is not a command of this domain"
            )
        commands = self._decision.commands
        commands.append(Issued(self._id(f"{len(commands)}"), command))

    def effect(self, name: str, payload: Any = None) -> None:
        """Have something done outside, at least once.

        `payload`, of values that a message may hold, is passed to the effect's handler.
        """
        if name not in self._spec.effects:
            known = ", ".join(self._spec.effects) or "none"
            raise InvalidMessage(
                f"do.effect({name!r}): no handler delivers that; write @{self._spec.name}.effect({name!r}); "
                f"there are: {known}"
            )
        effects = self._decision.effects
        effects.append(Issued(self._id(f"e{len(effects)}"), payload, name))

    def after(self, delay: timedelta, timer: Any, *, missed: Missed = "all") -> None:
        """Set a timer: `timer` comes back as an input `delay` after `now`, by the wall clock.

        `missed` is for timers that set themselves again and again, when that time is past already, as after a
        stop: `"all"` fires each one that was missed. The one that is set already fires in any case; after it,
        with `"last"`, the last that was missed fires, with `"skip"` the next one to come. Both are due a
        multiple of `delay` after `now`.
        """
        self._require_timer("after", timer)
        if missed not in ("all", "last", "skip"):
            raise InvalidMessage(f'do.after(..., missed={short_repr(missed)}) is "all", "last" or "skip"')
        if not isinstance(delay, timedelta):
            raise InvalidMessage(f"do.after({short_repr(delay)}, ...) takes a timedelta first")
        each = delay // MICROSECOND
        due = self._input.time_us + each
        if missed != "all" and 0 < each <= self._now_us - self._input.time_us:
            due += ((self._now_us - due) // each + (missed == "skip")) * each
        if due > LATEST:
            raise InvalidMessage(
                f"do.after({short_repr(delay)}, ...) is due after the year 9999; give a shorter time"
            )
        self._set(due, timer)

    def at(self, time: datetime, timer: Any) -> None:
        """Set a timer: `timer` comes back as an input at `time`, at once where that is past.

        `time` has a time zone; what is kept is the instant that it means now.
        """
        self._require_timer("at", timer)
        if not isinstance(time, datetime):
            raise InvalidMessage(
                f"do.at({short_repr(time)}, ...) takes a datetime first; do.after takes a timedelta"
            )
        if time.utcoffset() is None:
            raise InvalidMessage(
                f"do.at({short_repr(time)}, ...) needs a datetime with a time zone, as datetime(..., "
                "tzinfo=UTC) is"
            )
        due = (time - EPOCH) // MICROSECOND
        if due > LATEST:
            raise InvalidMessage(
                f"do.at({short_repr(time)}, ...) is due after the year 9999; give an earlier time"
            )
        self._set(due, timer)

    def _require_timer(self, call: str, timer: Any) -> None:
        if type(timer) not in self._spec.timers:
            raise UnknownMessage(
                f"do.{call}(..., {short_repr(timer, 100)}): its class is not a timer; write "
                f"@{self._spec.name}.timer above it"
            )

    def _set(self, due: int, timer: Any) -> None:
        made = self._decision.timers_set
        timer = Timer(max(due, 0), self._id(f"t{len(made)}"), timer, self._input.correlation)
        made.append(timer)
        self._timers.append(timer)

    def cancel(self, timer: type) -> None:
        """Cancel the instance's timers of this class, if there are any."""
        if not isinstance(timer, type) or timer not in self._spec.timers:
            known = ", ".join(one.__name__ for one in self._spec.timers) or "none"
            raise UnknownMessage(
                f"do.cancel({short_repr(timer, 100)}): that is not a class of a timer; there are: {known}"
            )
        gone = [one for one in self._timers if type(one.message) is timer]
        self._timers = [one for one in self._timers if type(one.message) is not timer]
        self._gone(gone)

    def end(self) -> None:
        """End the instance: its state and its timers are removed. What else this handler asks for is done."""
        self._ends = True

    def _id(self, suffix: str) -> str:
        id = f"{self._input.id}:{suffix}"
        if len(id) > LONGEST_ID:
            id = f"{self._spec.ids}:{blake2b(id.encode(), digest_size=16).hexdigest()}"
        return id

    def _gone(self, gone: list[Timer]) -> None:
        made = self._decision.timers_set
        for timer in gone:
            if timer in made:
                made[made.index(timer)] = _DROPPED
            else:
                self._decision.timers_gone.append(timer)

    def decided(self, state: Any) -> Decision:
        """The whole decision, after the handler returned `state`; for `decide`."""
        decision = self._decision
        if self._ends:
            self._gone(self._timers)
            decision.instance = NO_INSTANCE
        else:
            after = decision.instance.state if state is None else state
            if after is not None and type(after) not in self._spec.states:
                raise DeciderFailed(
                    f"it returned {short_repr(after, 100)}, which is not a state of process manager "
                    f"{self._spec.name!r}; return "
                    "the new state, or None to leave it as it is"
                )
            if after is None:
                self._refuse_timers_of_none()
                self._gone(self._timers)
                decision.instance = NO_INSTANCE
            else:
                decision.instance = Instance(after, tuple(self._timers))
        decision.timers_set = [timer for timer in decision.timers_set if timer is not _DROPPED]
        return decision

    def _refuse_timers_of_none(self) -> None:
        """Timers of no instance would be forgotten at once."""
        for timer in self._decision.timers_set:
            if timer is not _DROPPED:
                raise DeciderFailed(
                    f"it set timer {type(timer.message).__name__} and returned None, where there is no "
                    "instance that it "
                    "could be for; return a state, or set none"
                )


_DROPPED = Timer(0, "", None, None)


def decide(
    spec: ProcessManagerSpec, instance: Instance, input: Input, now_us: int | None = None
) -> Decision | None:
    """What `spec` makes of an input; None where it has no handler for that in the instance's state.

    `now_us` is the time by the wall clock, that of the input where it is not given: timers may be due before
    it already. Raises what the handler raises, `DeciderFailed` where it returned something else than a state,
    and the `CodecError` of a message that can't be read, where a handler takes that or where its class is
    gone and the version is not raised.
    """
    if input.kind == "timer":
        timers = tuple(one for one in instance.timers if one.id != input.id)
        instance = Instance(instance.state, timers)
    handlers = _handlers(spec, input)
    key = None if instance.state is None else type(instance.state)
    handler = handlers.get(key)
    unreadable = None if input.kind == "event" else _unreadable(input)
    if unreadable is not None and (handler is not None or _lost(spec, input, unreadable)):
        raise unreadable.error
    if handler is None:
        return Decision(instance) if input.kind == "timer" else None
    do = Do(spec, input, instance, now_us)
    state = handler(instance.state, input.message, do)
    try:
        return do.decided(state)
    except DeciderFailed as error:
        raise DeciderFailed(f"{name_of(handler)} failed on {type(input.message).__name__}: {error}") from None


def without(decision: Decision, gone: Callable[[str], bool]) -> None:
    """Take those timers that a decision sets from it whose ids are `gone`."""
    ids = {timer.id for timer in decision.timers_set if gone(timer.id)}
    if ids:
        decision.timers_set = [timer for timer in decision.timers_set if timer.id not in ids]
        instance = decision.instance
        timers = tuple(timer for timer in instance.timers if timer.id not in ids)
        decision.instance = Instance(instance.state, timers)


def _handlers(spec: ProcessManagerSpec, input: Input) -> Handlers:
    if input.kind == "event":
        return spec.events[type(input.message)].handlers
    if input.kind == "rejection":
        return spec.rejections.get(class_of(input.message.command), {})  # type: ignore[arg-type]
    return spec.timers.get(class_of(input.message), {})  # type: ignore[arg-type]


def _unreadable(input: Input) -> Unreadable | None:
    message = input.message.command if input.kind == "rejection" else input.message
    return message if isinstance(message, Unreadable) else None


def _lost(spec: ProcessManagerSpec, input: Input, message: Unreadable) -> bool:
    """Whether a class is gone since the manager of this very version stored a message of it."""
    return message.cls is None and (input.version is None or input.version >= spec.version)
