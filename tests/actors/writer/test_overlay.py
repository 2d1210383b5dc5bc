from __future__ import annotations

import time
from itertools import count

import pytest

from actors import (
    CommandIdReused,
    ConcurrencyConflict,
    DeadlineExceeded,
    DeciderFailed,
    Domain,
    InvalidMessage,
    Receipt,
    Rejected,
)
from actors.receipt import receipt_from_log
from actors.testing._history import MemoryHistory
from actors.writer.aggregate_cache import AggregateCache
from actors.writer.decider_call import MAX_EVENTS
from actors.writer.overlay import Overlay
from actors.writer.submission_factory import SubmissionFactory
from storage import CommandRecord
from tests.bank_domain import Account, Deposit, Measured, Moved, Note, Noted, Open, Opened, Transfer, bank
from tests.helpers import case_id


class Writer:
    """A command handler without threads and files: batches are decided, then committed or aborted."""

    def __init__(self, domain=bank, history=None, cached=100):
        self.domain = domain.compile()
        self.history = history or MemoryHistory(self.domain)
        self.states = AggregateCache(self.domain, self.history, cached)
        self.make = SubmissionFactory(self.domain)
        self.begin()

    def begin(self):
        """A new batch; what an earlier one had decided and not committed is gone."""
        self.overlay = Overlay(
            self.domain, self.states, self.history, lambda one, _origin=None: one.stream.encode()
        )

    def decide(self, command, **options):
        return self.overlay.decide(self.make.of_command(command, options, options.get("metadata")))

    def append(self, stream, *events, **options):
        return self.overlay.decide(self.make.of_facts(stream, list(events), options))

    def commit(self):
        overlay = self.overlay
        self.history.events += overlay.events
        self.history._commands.update((one.command_id, one) for one in overlay.commands)
        overlay.merge()
        self.begin()
        return overlay


@pytest.fixture
def writer():
    """Ann's account is open, at version 1; the next batch has begun."""
    writer = Writer()
    assert isinstance(writer.decide(Open("ann")), Receipt)
    writer.commit()
    return writer


def only(error, kind):
    assert type(error) is kind, error
    return error


# -- receipts and records ---------------------------------------------------------------------
def test_a_receipt_tells_positions_versions_and_events(writer):
    writer.decide(Open("bob"))
    writer.decide(Deposit("ann", 9))
    receipt = writer.decide(Transfer("ann", "bob", 5), command_id="t-1")
    assert receipt == Receipt(
        "t-1",
        4,
        5,
        5,
        "account-ann",
        3,
        {"account-ann": 3, "account-bob": 2},
        (Moved("ann", -5), Moved("bob", 5)),
    )


def test_a_command_without_events_is_recorded_at_the_position_it_was_decided_at(writer):
    writer.decide(Deposit("ann", 9))
    receipt = writer.decide(Deposit("ann", 0), command_id="nothing")
    assert (receipt.first, receipt.last, receipt.position, receipt.version) == (0, 0, 2, 2)
    assert receipt.events == ()
    [_, record] = writer.commit().commands
    assert (record.command_id, record.first, record.count, record.version) == ("nothing", 2, 0, 2)


def test_recorded_events_carry_who_caused_them_and_their_encoding(writer):
    writer.decide(
        Deposit("ann", 9),
        command_id="d-1",
        causation_id="why",
        correlation_id="all",
        metadata={"user": "eve"},
    )
    overlay = writer.commit()
    [recorded] = overlay.events
    assert (recorded.command_id, recorded.command, recorded.causation_id, recorded.correlation_id) == (
        "d-1",
        "Deposit",
        "why",
        "all",
    )
    assert recorded.metadata == {"user": "eve"}
    assert recorded.tags == ("money", "owner-ann")
    assert abs(recorded.time.timestamp() - time.time()) < 60
    assert overlay.encoded == [b"account-ann"]


# -- isolation --------------------------------------------------------------------------------
def test_each_command_is_decided_on_what_the_ones_before_it_left(writer):
    assert only(writer.decide(Transfer("ann", "ann", 5)), Rejected).code == "balance.too_low"
    writer.decide(Deposit("ann", 5))
    assert writer.decide(Transfer("ann", "ann", 5)).version == 4


def test_a_failing_command_leaves_no_trace(writer):
    before = writer.decide(Deposit("ann", 5))
    for command in (Transfer("ann", "eve", 5), Open("ann"), Transfer("ann", "ann", 99)):
        only(writer.decide(command), Rejected)
    after = writer.decide(Deposit("ann", 6))
    assert (after.first, after.version) == (before.last + 1, before.version + 1)
    overlay = writer.commit()
    assert [one.event for one in overlay.events] == [Moved("ann", 5), Moved("ann", 6)]
    assert len(overlay.commands) == len(overlay.encoded) == 2
    assert writer.states.get("account-ann", None) == (Account("ann", 11), 3)


def test_an_event_that_can_not_be_encoded_fails_its_command_alone(writer):
    def encode(recorded, _origin=None):
        if recorded.event == Moved("ann", 13):
            raise RuntimeError("thirteen")
        return b""

    writer.overlay = Overlay(writer.domain, writer.states, writer.history, encode)
    assert writer.decide(Deposit("ann", 1)).first == 2
    assert "RuntimeError: thirteen" in str(only(writer.decide(Deposit("ann", 13)), DeciderFailed))
    assert writer.decide(Deposit("ann", 2)).first == 3


def test_an_aborted_batch_leaves_states_ids_and_positions_as_they_were(writer):
    first = writer.decide(Deposit("ann", 5), command_id="d-1")
    writer.begin()
    assert writer.decide(Transfer("ann", "ann", 5)).__class__ is Rejected
    assert writer.decide(Deposit("ann", 7), command_id="d-1").first == first.first


def test_states_are_committed_when_the_batch_is(writer):
    writer.decide(Deposit("ann", 5))
    assert writer.states.get("account-ann", None) == (Account("ann", 0), 1)
    writer.commit()
    assert writer.states.get("account-ann", None) == (Account("ann", 5), 2)


# -- ids --------------------------------------------------------------------------------------
def test_an_id_twice_in_a_batch_gives_the_same_receipt_and_one_event(writer):
    first = writer.decide(Deposit("ann", 5), command_id="once")
    assert writer.decide(Deposit("ann", 5), command_id="once") == first
    assert len(writer.commit().events) == 1


def test_an_id_of_an_earlier_batch_gives_its_receipt(writer):
    first = writer.decide(Deposit("ann", 5), command_id="once")
    nothing = writer.decide(Deposit("ann", 0), command_id="nothing")
    writer.commit()
    assert writer.decide(Deposit("ann", 5), command_id="once") == first
    assert writer.decide(Deposit("ann", 0), command_id="nothing") == nothing
    assert writer.commit().commands == []


def test_a_receipt_without_events_keeps_its_position_when_more_was_written_since(writer):
    nothing = writer.decide(Deposit("ann", 0), command_id="nothing")
    writer.commit()
    writer.decide(Deposit("ann", 5))
    writer.commit()
    assert writer.decide(Deposit("ann", 0), command_id="nothing") == nothing
    assert (nothing.first, nothing.last, nothing.position) == (0, 0, 1)


def test_an_id_with_another_payload_is_refused_in_the_batch_and_later(writer):
    writer.decide(Deposit("ann", 5), command_id="once")
    for other in (Deposit("ann", 6), Deposit("bob", 5), Open("ann")):
        assert only(writer.decide(other, command_id="once"), CommandIdReused).command_id == "once"
    writer.commit()
    only(writer.decide(Deposit("ann", 6), command_id="once"), CommandIdReused)


def test_the_id_of_a_refused_command_is_free(writer):
    only(writer.decide(Transfer("ann", "ann", 5), command_id="t"), Rejected)
    writer.decide(Deposit("ann", 5))
    assert writer.decide(Transfer("ann", "ann", 5), command_id="t").first


def test_a_receipt_is_rebuilt_from_a_log_that_reads_in_pieces(writer):
    class InPieces(MemoryHistory):
        def read(self, after=0, limit=1000, until=None):
            return super().read(after, min(limit, 2), until)

    history = InPieces(writer.domain)
    for event in [Opened("ann"), *(Moved("ann", n) for n in range(6))]:
        history.add(event)
    receipt = receipt_from_log(CommandRecord("c", 2, 5, b"", "account-ann", 6), history)
    assert (receipt.first, receipt.last, receipt.versions) == (2, 6, {"account-ann": 6})
    assert receipt.events == tuple(Moved("ann", n) for n in range(5))


# -- expected versions and deadlines ----------------------------------------------------------
def test_an_expected_version_is_that_of_the_commands_stream_within_the_batch(writer):
    conflict = only(writer.decide(Deposit("ann", 5), expected_version=0), ConcurrencyConflict)
    assert (conflict.stream, conflict.expected, conflict.actual) == ("account-ann", 0, 1)
    writer.decide(Deposit("ann", 5), expected_version=1)
    assert only(writer.decide(Deposit("ann", 5), expected_version=1), ConcurrencyConflict).actual == 2
    assert writer.decide(Deposit("ann", 5), expected_version=2).version == 3
    assert writer.decide(Open("bob"), expected_version=0).version == 1


def test_an_executed_command_comes_before_its_expected_version_and_its_deadline(writer):
    first = writer.decide(Deposit("ann", 5), expected_version=1, command_id="d")
    assert writer.decide(Deposit("ann", 5), expected_version=1, command_id="d") == first


def test_a_command_past_its_deadline_is_not_executed(writer):
    error = only(writer.decide(Deposit("ann", 5), deadline=-0.001, command_id="late"), DeadlineExceeded)
    assert "late" in str(error)
    assert writer.decide(Deposit("ann", 5), deadline=60.0).first == 2
    assert len(writer.commit().commands) == 1


# -- what deciders give -----------------------------------------------------------------------
def domain_of(decider, snapshot_every=3):
    """A domain whose only command `Do` is decided by `decider(state, command, read)`."""
    domain = Domain("one")

    @domain.state(stream="thing-{id}", snapshot_every=snapshot_every)
    class Thing:
        id: str
        size: int

    @domain.event(Thing, tags="all")
    class Grown:
        id: str

    @domain.event(state=None)
    class Heard:
        text: str

    @domain.command(Thing)
    class Do:
        id: str

    @domain.evolve(Grown, state=Thing | None)
    def grown(thing, event):
        return Thing(event.id, 1 if thing is None else thing.size + 1)

    @domain.decide(Do, state=Thing | None)
    def do(thing, command, read):
        return decider(thing, command, read)

    domain.thing, domain.grown, domain.heard, domain.do = Thing, Grown, Heard, Do
    return domain


def outcome_of(decider):
    domain = domain_of(lambda *arguments: decider(domain, *arguments))
    writer = Writer(domain)
    outcome = writer.decide(domain.do("a"))
    assert (len(writer.overlay.events), len(writer.overlay.commands)) == (
        (len(outcome.events), 1) if isinstance(outcome, Receipt) else (0, 0)
    )
    return outcome


@pytest.mark.parametrize(
    "decider",
    [
        lambda domain, *_: domain.grown("a"),
        lambda domain, *_: [domain.grown("a")],
        lambda domain, *_: (domain.grown("a"),),
        lambda domain, *_: (domain.grown(id) for id in "a"),
    ],
    ids=["one", "a list", "a tuple", "a generator"],
)
def test_events_come_alone_in_a_list_or_from_a_generator(decider):
    receipt = outcome_of(decider)
    assert receipt.versions == {"thing-a": 1}


@pytest.mark.parametrize("nothing", [None, [], (), iter([])], ids=case_id)
def test_nothing_comes_in_several_forms(nothing):
    assert outcome_of(lambda *_: nothing).events == ()


@pytest.mark.parametrize("rubbish", [42, True, object(), "text", [None], {"a": 1}], ids=case_id)
def test_what_is_no_event_fails_the_command(rubbish):
    only(outcome_of(lambda *_: rubbish), DeciderFailed)


def test_a_late_non_event_takes_the_earlier_events_along():
    error = only(outcome_of(lambda domain, *_: [domain.grown("a"), 42]), DeciderFailed)
    assert "Do gave 42, which is not an event of one" in str(error)


def test_an_endless_generator_is_stopped():
    error = only(outcome_of(lambda domain, *_: (domain.heard(str(n)) for n in count())), DeciderFailed)
    assert f"more than {MAX_EVENTS} events" in str(error)


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), RecursionError(), MemoryError(), OSError()]
)
def test_whatever_a_decider_raises_fails_its_command_alone(error):
    def decider(*_):
        raise error

    failure = only(outcome_of(decider), DeciderFailed)
    assert failure.__cause__ is error
    assert type(error).__name__ in str(failure)


def test_an_event_with_wrong_fields_is_refused():
    only(outcome_of(lambda domain, *_: domain.grown(7)), InvalidMessage)


# -- read -------------------------------------------------------------------------------------
def test_read_sees_the_batch_and_the_log_but_not_the_commands_own_events():
    seen = []

    def decider(thing, command, read):
        yield domain.grown(command.id)
        seen.append(
            (
                read(domain.thing, "a") and read(domain.thing, "a").size,
                read.version(domain.thing, id="a"),
                len(read.tagged("all")),
            )
        )

    domain = domain_of(decider)
    writer = Writer(domain)
    writer.decide(domain.do("a"))
    writer.commit()
    writer.decide(domain.do("a"))
    writer.decide(domain.do("b"))
    assert seen == [(None, 0, 0), (1, 1, 1), (2, 2, 2)]


def test_read_takes_several_states_of_one_template():
    seen = []
    domain = domain_of(
        lambda thing, command, read: seen.append(read(domain.thing | domain.gone, command.id[1:]))
    )

    @domain.state(stream="thing-{id}")
    class Gone:
        id: str

    @domain.state(stream="other-{id}")
    class Other:
        id: str

    @domain.event(Gone)
    class Went:
        id: str

    @domain.evolve(Went, state=domain.thing | Gone | None)
    def went(thing, event):
        return Gone(event.id)

    domain.gone = Gone
    writer = Writer(domain)
    writer.append("thing-a", Went("a"))
    for key in ("-a", "-b"):
        writer.decide(domain.do(key))
    assert seen == [Gone("a"), None]
    domain.gone = Other
    refused = only(writer.decide(domain.do("-a")), DeciderFailed)
    assert "which is not a state of one, nor are they all states of one template" in str(refused)


def test_read_refuses_what_is_no_state():
    domain = domain_of(lambda thing, command, read: read(str, "a"))
    assert "is not a state of one" in str(only(Writer(domain).decide(domain.do("a")), DeciderFailed))


# -- snapshots --------------------------------------------------------------------------------
def test_a_snapshot_is_made_when_a_commands_events_pass_a_multiple():
    domain = domain_of(lambda thing, command, read: [domain.grown("a")] * 2, snapshot_every=3)
    writer = Writer(domain)
    made = []
    for _ in range(4):
        writer.decide(domain.do("a"))
        made.append(
            [(stream, version, state.size) for stream, version, _, state in writer.commit().snapshots]
        )
    assert made == [[], [("thing-a", 4, 4)], [("thing-a", 6, 6)], []]


def test_no_snapshot_is_made_where_none_is_wanted():
    domain = domain_of(lambda thing, command, read: domain.grown("a"), snapshot_every=0)
    writer = Writer(domain)
    for _ in range(5):
        writer.decide(domain.do("a"))
    assert writer.commit().snapshots == []


# -- facts from outside -----------------------------------------------------------------------
def test_facts_get_positions_and_versions_of_their_stream(writer):
    first = writer.append("sensor-1", Measured(1), Measured(2), command_id="import-1")
    assert (first.first, first.last, first.stream, first.version) == (2, 3, "sensor-1", 2)
    assert writer.append("sensor-1", Measured(1), Measured(2), command_id="import-1") == first
    only(writer.append("sensor-1", Measured(9), command_id="import-1"), CommandIdReused)
    assert only(writer.append("sensor-1", Measured(3), expected_version=1), ConcurrencyConflict).actual == 2
    writer.commit()
    assert writer.append("sensor-1", Measured(3), expected_version=2).version == 3


def test_appended_events_of_a_state_are_folded_into_it(writer):
    writer.append("account-ann", Moved("ann", 5))
    assert writer.decide(Transfer("ann", "ann", 5)).version == 4
    only(writer.append("account-bob", Moved("bob", 5)), DeciderFailed)
    only(writer.append("account-bob", Opened("ann")), InvalidMessage)


@pytest.mark.parametrize("cached", [True, False], ids=["with its state cached", "with an empty cache"])
@pytest.mark.parametrize("committed", [True, False], ids=["in an earlier batch", "in the same batch"])
def test_a_fact_in_an_aggregates_stream_leaves_its_state(writer, cached, committed):
    writer.decide(Deposit("ann", 5))
    writer.commit()
    if not cached:
        writer.states.clear()
    assert writer.append("account-ann", Measured(3)).version == 3
    if committed:
        writer.commit()
    assert writer.decide(Transfer("ann", "ann", 5), expected_version=3).version == 5
    assert writer.decide(Note("ann", "x")).events == (Noted("ann", "x"),)
