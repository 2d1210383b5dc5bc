"""Tables against dictionaries, in whole systems: replicas, inline models with refusals in the middle of
batches, deciders.

One random program is what an inline model's projection and a replica's do for each event. Each answer that a
decider, either projection, a query or a view gets is compared with the oracle's, whose rows are those of the
accepted commands alone. Then both models are filled again, in other batches, and have to hold the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from actors import Domain, Rejected, System
from tests.helpers import PATIENCE, quick_folder
from tests.oracle.table_model import Rows, Search
from tests.oracle.table_ops import Op, done, expected
from tests.oracle.table_programs import Drawn, bounded, small_chunks, tables
from tests.oracle.test_tables import Note, awkward
from tests.oracle.value_forms import shown_exactly

ENDS = ["done", "done", "done", "decider", "projection", "raises", "unstorable", "no key"]


@dataclass(frozen=True)
class Step:
    """A command: what its decider looks at, what the projections then do, how it ends, and what is read after
    it.
    """

    reads: list[Op]
    ops: list[Op]
    end: str
    then: list[Op]


class Program(NamedTuple):
    """A table, and commands in lots; those of one are handed over together."""

    drawn: Drawn
    lots: list[list[Step]]
    small_chunks: bool

    def __repr__(self) -> str:
        return bounded(f"Program({self.drawn}, {self.lots}, {self.small_chunks})")


@st.composite
def programs(draw: st.DrawFn) -> Program:
    drawn = draw(tables(awkward))
    opening = [Step([], draw(st.lists(st.tuples(st.just("put"), drawn.rows), max_size=6)), "done", [])]
    looks = st.one_of(drawn.reads, drawn.reads, st.just(drawn.census))
    then = st.lists(looks, max_size=2)
    step = st.builds(Step, then, st.lists(drawn.ops | looks, max_size=5), st.sampled_from(ENDS), then)
    lots = draw(st.lists(st.lists(step, min_size=1, max_size=5), min_size=1, max_size=4))
    return Program(drawn, [opening, *lots], draw(st.booleans()))


class Answers:
    """What was answered, and what should have been: by step and by who asks. A step may be run more than
    once.
    """

    def __init__(self) -> None:
        self.wanted: dict[tuple[str, int], list[Any]] = {}
        self.wrong: list[str] = []

    def compare(self, who: str, number: int, ops: list[Op], ask: Callable[[Op], Any]) -> None:
        for op, want in zip(ops, self.wanted[who, number], strict=True):
            answer = ask(op)
            if answer != want:
                self.wrong.append(f"{who}, step {number}, {op}: {answer} instead of {want}")


class Tables:
    """A domain whose two models run a program; `version` of both."""

    def __init__(self, drawn: Drawn, steps: list[Step], answers: Answers, version: int = 1) -> None:
        domain = self.domain = Domain("tables")
        domain.value(Note)

        @domain.state(stream="step-{number}")
        class Step:
            number: int

        @domain.event(Step)
        class Done:
            number: int

        @domain.command(Step)
        class Do:
            number: int

        key, indexes = drawn.schema.key, [index.spec for index in drawn.schema.indexes]
        rule = self.rule = domain.read_model("rule", version=version, inline=True)
        model = self.model = domain.read_model("model", version=version)
        inline = self.inline = rule.table("t", key=key, indexes=indexes)
        table = self.table = model.table("t", key=key, indexes=indexes)
        self.command = Do

        @domain.decide(Do)
        def do(state: Any, command: Any, read: Any) -> Any:
            number = command.number
            step = steps[number]
            answers.compare("decider", number, step.reads, lambda op: done(op, read[inline], inline))
            if step.end == "decider":
                raise Rejected("the decider refuses", code="decider")
            yield Done(number)

        @domain.evolve(Done)
        def evolve(state: Any, event: Any) -> Any:
            return Step(event.number)

        @rule.on(Done)
        def in_the_command(event: Any, tables: Any) -> None:
            number = event.number
            step = steps[number]
            answers.compare("projection", number, step.ops, lambda op: done(op, tables[inline], inline))
            if step.end == "projection":
                raise Rejected("the projection refuses", code="projection")
            if step.end == "raises":
                raise ZeroDivisionError
            if step.end == "unstorable":
                tables[inline].put({**dict.fromkeys(drawn.shape.key, None), "v": object()})
            if step.end == "no key":
                tables[inline].put({"k": float("nan"), "l": 1})

        @model.on(Done)
        def on_a_replica(event: Any, tables: Any) -> None:
            step = steps[event.number]
            answers.compare("projection", event.number, step.ops, lambda op: done(op, tables[table], table))

        @domain.query(reads=[model])
        class OnAReplica:
            number: int

            def run(self, view: Any) -> None:
                then = steps[self.number].then
                answers.compare("reader", self.number, then, lambda op: done(op, view[table], table))

        @domain.query(reads=[rule])
        class Beside:
            number: int

            def run(self, view: Any) -> None:
                then = steps[self.number].then
                answers.compare("reader", self.number, then, lambda op: done(op, view[inline], inline))

        self.queries = (OnAReplica, Beside)


def lots_of(program: Program, answers: Answers) -> tuple[list[list[int]], Rows, list[str]]:
    """The numbers of the steps of each lot, the rows in the end, and how each command ends; `answers` is told
    all.
    """
    rows = Rows(program.drawn.shape)
    lots: list[list[int]] = []
    ends = []
    for lot in program.lots:
        first = len(ends)
        for step in lot:
            number = len(ends)
            answers.wanted["decider", number] = [expected(op, rows) for op in step.reads]
            new = rows.copy()
            answers.wanted["projection", number] = [expected(op, new) for op in step.ops]
            if step.end == "done":
                rows = new
            ends.append(step.end)
        lots.append(list(range(first, len(ends))))
        # After the lot, as its last commands' readers see it.
        for number in lots[-1]:
            answers.wanted["reader", number] = [expected(op, rows) for op in lot[number - first].then]
    return lots, rows, ends


def contents(system: System, tables: Tables) -> dict[str, Any]:
    """Both models' rows."""
    system.wait_applied()
    with system.view(tables.rule) as beside:
        inline = shown_exactly(list(beside[tables.inline].all()))
    return {"inline": inline, "replica": shown_exactly(system.dump("replica-1", tables.model)["t"])}


@settings(max_examples=settings().max_examples)
@given(programs())
def test_a_system_answers_as_dictionaries_do(program: Program) -> None:
    answers = Answers()
    lots, rows, ends = lots_of(program, answers)
    steps = [step for lot in program.lots for step in lot]
    want = dict.fromkeys(["inline", "replica"], shown_exactly(rows.search(Search(None))))
    with quick_folder() as folder, small_chunks(program.small_chunks):
        path = Path(folder, "store")
        tables = Tables(program.drawn, steps, answers)
        with System.open(path, tables.domain, replicas=1) as system:
            outcomes: list[Any] = []
            for numbers in lots:
                commands = [tables.command(number) for number in numbers]
                outcomes += system.execute_many(commands, return_exceptions=True)
                for number in numbers:
                    for query in tables.queries:
                        system.query(query(number), consistency="strong")
                with system.view(tables.model, consistency="strong") as view:
                    answers.compare(
                        "reader",
                        numbers[-1],
                        steps[numbers[-1]].then,
                        lambda op, view=view: done(op, view[tables.table], tables.table),
                    )
            assert not answers.wrong, answers.wrong[0]
            assert [ended(outcome) for outcome in outcomes] == [
                "fails" if end in ("raises", "unstorable", "no key") else end for end in ends
            ]
            assert contents(system, tables) == want
            system.rebuild(tables.model, wait=True, timeout=PATIENCE)
            assert contents(system, tables) == want
        tables = Tables(program.drawn, steps, answers, version=2)
        with System.open(path, tables.domain, replicas=1) as system:
            assert contents(system, tables) == want
        assert not answers.wrong, answers.wrong[0]


def ended(outcome: Any) -> str:
    if isinstance(outcome, Rejected):
        return outcome.code
    return "fails" if isinstance(outcome, Exception) else "done"
