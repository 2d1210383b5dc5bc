"""A process manager's book: its instances, what waits for them, and the plan of the next step.

Knows no thread: the manager's thread calls it, and tests do without one. Plans may follow each other before the first
is on disk, but an instance with commands on their way gets nothing new before their outcome is known, so that it
hears of a rejection before its next event.
"""

from __future__ import annotations

from collections import Counter, deque

from actors.process.deciding import Decision, Input, Instance, decide, input_of_event
from actors.process.notes import About, Keys, Notes, Place, Values, ids_of
from actors.process.plan import Feed, InputFailed, Make, Plan, describe, effects_of, submissions_of
from actors.process.rebuilding import Rebuilding
from actors.process.spec import ProcessSpec
from actors.process.timers import TimerQueue
from storage import RecordedEvent
from storage.codec import Codec

__all__ = ["Book"]

CACHED = 10_000
"""Instances that stay in memory."""

LAZY = 10_000
"""Events that do not concern the manager before its place is written for their sake alone."""


class Book:
    """What one incarnation of a manager knows. Made anew from the notes whenever a step did not go as planned."""

    def __init__(self, spec: ProcessSpec, codec: Codec, notes: Notes) -> None:
        self.spec = spec
        self.keys = Keys(spec.name)
        self.values = Values(codec)
        self._notes = notes
        place = notes.note(self.keys.place)
        about = notes.note(self.keys.about)
        assert place is not None, "a manager is entered when the system opens"
        assert about is not None
        self.place = Place.unpack(place)
        # What the note says once the plans made so far are on disk; the place itself may be further on.
        self._guard = place
        self.written = self.place.position
        self.about = About.unpack(codec, about)
        self.inputs = deque(self.values.input(value) for _, value in notes.notes(self.keys.inputs))
        self.skipped = ids_of(notes.notes(self.keys.skips), self.keys.skips)
        self.skipping: dict[str, tuple[str, str]] = {}
        self.instances: dict[str, Instance] = {}
        self._busy: Counter[str] = Counter()
        self.timers = TimerQueue(self.keys, notes)
        self._rebuilding = Rebuilding(self, codec, notes) if self.about.until is not None else None

    @property
    def rebuilding(self) -> bool:
        """Whether the states are being built anew: no command is executed and no effect delivered meanwhile."""
        return self.about.until is not None

    def instance(self, key: str) -> Instance:
        """An instance as the plans made so far leave it."""
        found = self.instances.get(key)
        if found is None:
            found = self.values.instance(self._notes.note(self.keys.state(key)))
            self.instances[key] = found
        return found

    def next_due(self) -> int | None:
        """When the earliest timer is due, in microseconds since 1970 UTC."""
        if self.rebuilding:
            return None
        while (first := self.timers.first()) is not None:
            if any(timer.id == first[1] for timer in self.instance(first[2]).timers):
                return first[0]
            self.timers.drop_first()
        return None

    # -- planning -----------------------------------------------------------------------------
    def plan(self, feed: Feed, make: Make, now_us: int, limit: int, alone: bool) -> Plan | None:
        """The next step, of at most `limit` inputs, or None when there is nothing to do yet.

        `alone`: no step is in flight. Raises `InputFailed` when the next input can't be handled.
        """
        if len(self.instances) > CACHED:
            if not alone:
                return None
            self.instances.clear()
        plan = Plan(self._guard, self.place, now_us)
        if self.rebuilding:
            assert self._rebuilding is not None
            return self._rebuilding.plan(plan, feed, make, limit) if alone else None
        while len(plan.inputs) < limit and len(plan.submissions) < limit:
            try:
                input = self._next(feed, now_us, alone and not plan.inputs)
                if input is None or not self.handle(plan, input, make):
                    break
            except InputFailed as error:
                if self.pass_over(plan, error):
                    continue
                if plan.inputs:
                    break
                raise
        if not plan.inputs and self.place.position - self.written < LAZY:
            return None
        return self.close(plan)

    def _next(self, feed: Feed, now_us: int, written: bool) -> Input | None:
        """The next input: rejections first, then timers and events in the order of their times.

        `written`: all that was planned is on disk, so more timers may be read.
        """
        if self.inputs:
            return self.inputs[0]
        while True:
            recorded = feed.peek(self.place.position)
            due = self.next_due()
            if self.timers.exhausted:
                if not written:
                    return None
                self.timers.load()
                continue
            if due is not None and due <= now_us and (recorded is None or due <= recorded.time_us):
                first = self.timers.first()
                assert first is not None
                return self._fired(first[1], first[2])
            if recorded is None or self.place.position - self.written >= LAZY:
                return None
            input = self.of_event(recorded)
            if input is not None:
                return input
            self.place = self.place._replace(position=recorded.position)

    def _fired(self, id: str, key: str) -> Input:
        timer = next(one for one in self.instance(key).timers if one.id == id)
        return Input("timer", id, key, timer.message, timer.due_us, id, timer.correlation)

    def of_event(self, recorded: RecordedEvent) -> Input | None:
        """The input that an event is, None where it concerns no instance."""
        rule = self.spec.events.get(recorded.event.__class__)
        if rule is None:
            return None
        id = f"{self.spec.name}:{recorded.position}"
        if id in self.skipped:
            return None
        try:
            key = rule.key_of(recorded.event)
            if key is None:
                return None
            self.keys.state(key)
        except BaseException as error:  # Also sys.exit(): it must not take the manager along.
            raise InputFailed(id, _what(recorded), error, recorded.position) from error
        return input_of_event(self.spec.name, key, recorded)

    def handle(self, plan: Plan, input: Input, make: Make) -> bool:
        """Add an input to the plan; False while commands of its instance are on their way."""
        if self._busy[input.key] or input.key in plan.busy:
            return False
        if input.id in self.skipping:
            self._skip(plan, input.id, input.position)
            self._consume(plan, input, None)
            return True
        live = not self.rebuilding
        try:
            decision = decide(self.spec, self.instance(input.key), input)
            if decision is None and input.kind == "event":
                self.place = self.place._replace(position=input.position)
                return True
            submissions, refused = submissions_of(decision, input, make) if live else ([], [])
            entries = effects_of(decision, input, plan.now_us) if live else []
            effects = {
                self.keys.effect(self.place.step, number): self.values.pack_entry(entry)
                for number, entry in enumerate(entries, plan.effects)
            }
            instance = decision.instance if decision else self.instance(input.key)
            state = None if instance.state is None else self.values.pack_instance(instance)
        except BaseException as error:
            raise InputFailed(input.id, describe(input), error, input.position or None) from error
        # From here on nothing can fail.
        before = len(plan.issued)
        plan.refused += [(before + number, input, issued, refusal) for number, issued, refusal in refused]
        plan.submissions += [submission for submission, _ in submissions]
        plan.issued += [(input, issued) for _, issued in submissions]
        if submissions or refused:
            plan.busy.add(input.key)
        plan.notes.update(effects)
        plan.effects += len(effects)
        if decision is not None:
            self._keep(plan, input.key, decision, state)
        self._consume(plan, input, decision)
        return True

    def _keep(self, plan: Plan, key: str, decision: Decision, state: bytes | None) -> None:
        before = self.instance(key)
        instance = decision.instance
        self.instances[key] = instance
        if instance.state is not before.state or instance.timers != before.timers:
            plan.notes[self.keys.state(key)] = state
        added = (instance.state is not None) - (before.state is not None)
        for timer in decision.timers_gone:
            plan.notes[self.keys.timer(timer)] = None
        for timer in decision.timers_set:
            plan.notes[self.keys.timer(timer)] = key.encode("utf-8", "surrogatepass")
            self.timers.add(timer, key)
        place = self.place
        self.place = place._replace(
            instances=place.instances + added,
            timers=place.timers + len(instance.timers) - len(before.timers),
        )

    def _consume(self, plan: Plan, input: Input, decision: Decision | None) -> None:
        """The input is dealt with, whatever came of it."""
        plan.inputs.append(input)
        if input.kind == "event":
            self.place = self.place._replace(position=input.position)
            return
        if input.kind == "rejection":
            plan.notes[self.keys.input(input)] = None
            if self.inputs and self.inputs[0].id == input.id:
                self.inputs.popleft()
        else:
            self._forget_timer(plan, input, decision)
        if not self.rebuilding:
            past = self.keys.past(self.place.position, self.place.step, plan.pasts)
            plan.notes[past] = self.values.pack_input(input)
            plan.pasts += 1

    def _forget_timer(self, plan: Plan, input: Input, decision: Decision | None) -> None:
        instance = self.instance(input.key)
        for timer in instance.timers:
            # Only where it was skipped is it still the instance's.
            if decision is None and timer.id == input.id:
                kept = tuple(one for one in instance.timers if one.id != timer.id)
                instance = self.instances[input.key] = Instance(instance.state, kept)
                plan.notes[self.keys.state(input.key)] = self.values.pack_instance(instance)
                self.place = self.place._replace(timers=self.place.timers - 1)
        key = self.keys.timers + input.time_us.to_bytes(8, "big") + input.id.encode()
        plan.notes[key] = None
        first = self.timers.first()
        if first is not None and first[1] == input.id:
            self.timers.drop_first()

    def close(self, plan: Plan) -> Plan:
        self.place = self.place._replace(step=self.place.step + 1)
        plan.place = self.place
        plan.notes[self.keys.place] = self._guard = self.place.pack()
        self.written = self.place.position
        self._busy.update(plan.busy)
        return plan

    # -- after a plan -------------------------------------------------------------------------
    def settle(self, plan: Plan) -> None:
        """A plan is on disk."""
        for key in plan.busy:
            self._busy[key] -= 1
            if not self._busy[key]:
                del self._busy[key]
        self.inputs.extend(plan.rejected)
        for id in plan.skipped:
            self.skipped.add(id)
            self.skipping.pop(id, None)

    def last_place(self) -> Plan | None:
        """A step that writes the place alone, or None where it is written."""
        if self.written == self.place.position or self.rebuilding:
            return None
        return self.close(Plan(self._guard, self.place, 0))

    def refresh_inputs(self) -> None:
        """Read again which rejections wait, since another step than this manager's left one; none of its own in flight."""
        found = self._notes.notes(self.keys.inputs)
        self.inputs = deque(self.values.input(value) for _, value in found)

    # -- what an operator skipped -------------------------------------------------------------
    def skip(self, id: str, reason: str, text: str) -> None:
        """Pass over an input when it comes; `text` is why it failed."""
        self.skipping[id] = reason, text

    def _skip(self, plan: Plan, id: str, position: int | None) -> None:
        reason, text = self.skipping[id]
        plan.notes[self.keys.skip(id)] = self.values.pack_skip(reason, text, plan.now_us)
        plan.skipped.append(id)
        if position:
            self.place = self.place._replace(position=position)

    def pass_over(self, plan: Plan, error: InputFailed) -> bool:
        """An event that can't be decoded or told to an instance has no input to skip."""
        if error.position is None or error.id not in self.skipping | dict.fromkeys(self.skipped):
            return False
        if error.id in self.skipping:
            self._skip(plan, error.id, error.position)
            plan.inputs.append(Input("event", error.id, "", None, 0, None, None, error.position))
        else:
            self.place = self.place._replace(position=error.position)
        return True


def _what(recorded: RecordedEvent) -> str:
    return f"event {recorded.type} at position {recorded.position}"
