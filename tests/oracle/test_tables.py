"""Tables against dictionaries, in the storage package alone: replicas and what their projections see, inline
batches.

Random tables, random programs, batches that are committed or not, steps that are taken back, and all of it
once more in one batch: rows may not depend on where batches end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from storage.codec.codec import Codec
from storage.log.event_log import EventLog
from storage.replica.replica_store import ReplicaStore
from storage.tables.reader import TableReader
from storage.tables.schema import ModelSchema
from tests.helpers import quick_folder
from tests.oracle.table_model import Rows, Search
from tests.oracle.table_ops import Op, done, expected
from tests.oracle.table_programs import Drawn, bounded, small_chunks, tables
from tests.oracle.value_forms import shown_exactly
from tests.oracle.values import changeable, values, zoned


@dataclass(frozen=True)
class Note:
    marks: Any
    more: Any = None


CODEC = Codec()
CODEC.register(Note)

awkward = st.one_of(
    changeable,
    changeable.map(Note),
    zoned | zoned.map(Note),
    values(lambda inner: st.builds(Note, inner, inner)),
)


@dataclass(frozen=True)
class Step:
    """Ops that stay, or are taken back."""

    ops: list[Op]
    stays: bool


@dataclass(frozen=True)
class Batch:
    """Steps that are written at their end, or not at all; then some are read from outside."""

    steps: list[Step]
    written: bool
    then: list[Op]


class Program(NamedTuple):
    """A table, and what is done to it."""

    drawn: Drawn
    batches: list[Batch]
    small_chunks: bool

    def __repr__(self) -> str:
        return bounded(f"Program({self.drawn}, {self.batches}, {self.small_chunks})")


@st.composite
def programs(draw: st.DrawFn) -> Program:
    drawn = draw(tables(awkward))
    often = st.sampled_from([True, True, True, False])
    step = st.builds(Step, st.lists(drawn.ops, min_size=1, max_size=5), often)
    first = st.builds(Step, st.lists(st.tuples(st.just("put"), drawn.rows), max_size=6), st.just(True))
    batch = st.builds(Batch, st.lists(step, max_size=4), often, st.lists(drawn.reads, max_size=3))
    batches = draw(st.lists(batch, min_size=1, max_size=4))
    opening = Batch([draw(first)], True, [])
    return Program(drawn, [opening, *batches], draw(st.booleans()))


class Aborted(Exception):
    """Ends a batch that is not to be written."""


class Replica:
    """The tables of a replica, written by its one transaction."""

    takes_back = False

    def __init__(self, path: Path, model: ModelSchema) -> None:
        self.model, self.path, self.position = model, path, 0
        self.open()

    def open(self) -> None:
        self.store = ReplicaStore.open(
            self.path, [self.model], CODEC, history_id="h", log_head=99, boot_id="b"
        )

    def close(self) -> None:
        self.store.close()

    @contextmanager
    def batch(self, written: bool) -> Iterator[Any]:
        with suppress(Aborted), self.store.write() as transaction:
            yield transaction.tables("m")[self.model.tables[0]], None
            if not written:
                raise Aborted
            self.position += 1
            transaction.set_checkpoint("m", self.position)

    @contextmanager
    def reading(self) -> Iterator[TableReader]:
        with self.store.snapshot() as snapshot:
            yield snapshot.table("m", self.model.tables[0])


class Inline:
    """The tables of an inline model, written with a batch of the log."""

    takes_back = True

    def __init__(self, path: Path, model: ModelSchema) -> None:
        self.model, self.path = model, path
        self.open()

    def open(self) -> None:
        self.store = EventLog.open(self.path, CODEC, durable=False, inline=[self.model])

    def close(self) -> None:
        self.store.close()

    @contextmanager
    def batch(self, written: bool) -> Iterator[Any]:
        batch: Any = self.store.inline_batch()
        yield batch.table(self.model.tables[0]), batch
        if written:
            self.store.append([], inline=batch)
        batch.close()

    @contextmanager
    def reading(self) -> Iterator[TableReader]:
        with self.store.inline_snapshot() as snapshot:
            yield snapshot.table("m", self.model.tables[0])


def held(kind: Any, program: Program) -> None:
    """Run a program, compare every answer, and compare what is left with the same program in one batch."""
    drawn = program.drawn
    model = ModelSchema("m", 1, (drawn.schema,))
    rows = Rows(drawn.shape)
    stayed: list[Op] = []
    with quick_folder() as folder, small_chunks(program.small_chunks), ExitStack() as closing:
        store = kind(Path(folder, "live"), model)
        closing.callback(lambda: store.close())
        looking = closing.enter_context(ExitStack())
        kept: list[tuple[Any, Rows, list[Op], Any]] = []
        for batch in program.batches:
            new = rows.copy()
            ops: list[Op] = []
            with store.batch(batch.written) as (table, marks):
                for step in batch.steps:
                    if not step.stays and marks is None:
                        continue
                    before = new.copy()
                    mark = None if marks is None else marks.mark()
                    for op in step.ops:
                        compared(op, table, drawn, new)
                    if step.stays:
                        ops += step.ops
                    else:
                        marks.back_to(mark)
                        new = before
                    if marks is not None:  # as deciders see it
                        for op in (("len",), ("search", Search(None)), drawn.census, *batch.then):
                            compared(op, marks.view(drawn.schema), drawn, new)
            if batch.written:
                rows = new
                stayed += ops
            table = looking.enter_context(store.reading())
            for op in (("len",), ("search", Search(None)), drawn.census, *batch.then):
                compared(op, table, drawn, rows)
            rest = table.all()
            begun = [shown_exactly(row) for row in islice(rest, 1)]
            kept.append((table, rows, batch.then, chain(begun, map(shown_exactly, rest))))
        for table, then_there, then, rest in kept:  # what was written later is seen by none of them
            assert list(rest) == [shown_exactly(row) for row in then_there.all()]
            for op in then:
                compared(op, table, drawn, then_there)
        looking.close()
        live = contents(store)
        store.close()
        store.open()
        assert contents(store) == live
        again = kind(Path(folder, "again"), model)
        closing.callback(again.close)
        with again.batch(True) as (table, _):
            for op in stayed:
                done(op, table, drawn.schema)
        assert contents(again) == live
        with again.reading() as table:
            handle: Any = table._handle
            stored = sum(table._access.live().stat(db)["entries"] for db in handle.indexes.values())
            assert stored == rows.entries()


def contents(store: Any) -> Any:
    with store.reading() as table:
        return shown_exactly(list(table.all()))


def compared(op: Op, table: Any, drawn: Drawn, rows: Rows) -> None:
    answered, want = done(op, table, drawn.schema), expected(op, rows)
    assert answered == want, f"{op}: {answered} instead of {want}"


@given(programs())
def test_a_replica_answers_as_dictionaries_do(program: Program) -> None:
    held(Replica, program)


@given(programs())
def test_an_inline_model_answers_as_dictionaries_do(program: Program) -> None:
    held(Inline, program)
