"""The domain whose histories are checked: registers that are set, and accounts between which amounts are
moved.

Every value that a register takes is written once, so an answer tells which write it saw. A move is spent in
one model and received in another, so that only a query that sees both at one position finds them equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from actors import Domain, RecordedEvent

registers = Domain("registers")

REGISTERS = [f"r{number}" for number in range(6)]
ACCOUNTS = [f"a{number}" for number in range(4)]
SUMS = frozenset({"spent", "received"})


# -- write model ---------------------------------------------------------------------------------------------
@registers.state(stream="register-{name}")
class Register:
    name: str
    value: int


@registers.state(stream="ledger-{owner}")
class Ledger:
    owner: str
    moves: int


@registers.event(Register)
class Written:
    name: str
    value: int


@registers.event(Ledger)
class Moved:
    owner: str
    to: str
    amount: int


@registers.command(Register)
class Put:
    name: str
    value: int


@registers.command(Register)
class PutAll:
    """One value into several registers, an event each; `name` is the first of `names`."""

    name: str
    names: tuple[str, ...]
    value: int


@registers.command(Ledger)
class Move:
    owner: str
    to: str
    amount: int


@registers.decide
def put(register: Register | None, command: Put) -> Written:
    return Written(command.name, command.value)


@registers.decide
def put_all(register: Register | None, command: PutAll) -> Iterable[Written]:
    return [Written(name, command.value) for name in command.names]


@registers.decide
def move(ledger: Ledger | None, command: Move) -> Moved:
    return Moved(command.owner, command.to, command.amount)


@registers.evolve
def written(register: Register | None, event: Written) -> Register:
    return Register(event.name, event.value)


@registers.evolve
def moved(ledger: Ledger | None, event: Moved) -> Ledger:
    return Ledger(event.owner, 1 if ledger is None else ledger.moves + 1)


# -- read models ---------------------------------------------------------------------------------------------
board = registers.read_model("board")
values = board.table("values", key="name")
spent = board.table("spent", key="owner")

mirror = registers.read_model("mirror")
copies = mirror.table("copies", key="name")
received = mirror.table("received", key="owner")


ledger = registers.read_model(
    "ledger",
    engine="sqlite",
    schema="""
        CREATE TABLE kept (name TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;
        CREATE TABLE received (owner TEXT PRIMARY KEY, amount INTEGER, times INTEGER) WITHOUT ROWID;
    """,
)

notebook = registers.read_model("notebook", engine="memory")
noted = notebook.object("noted", dict)


def set_register(table: Any, name: str, value: int) -> None:
    """What a projection does with a value; called by name, so that a test may have it done wrongly."""
    table.put({"name": name, "value": value})


def add_amount(table: Any, owner: str, amount: int) -> None:
    """What a projection does with an amount, counting how often; by name as well."""
    row = table.get(owner) or {"amount": 0, "times": 0}
    table.put({"owner": owner, "amount": row["amount"] + amount, "times": row["times"] + 1})


@board.on
def show(event: Written | Moved, tables: Any) -> None:
    if isinstance(event, Written):
        set_register(tables[values], event.name, event.value)
    else:
        add_amount(tables[spent], event.owner, event.amount)


@mirror.on
def copy(event: Written | Moved, tables: Any) -> None:
    if isinstance(event, Written):
        set_register(tables[copies], event.name, event.value)
    else:
        add_amount(tables[received], event.to, event.amount)


@ledger.on
def keep(event: Written | Moved, db: Any) -> None:
    if isinstance(event, Written):
        db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (event.name, event.value))
    else:
        db.execute("INSERT OR IGNORE INTO received VALUES (?, 0, 0)", (event.to,))
        db.execute(
            "UPDATE received SET amount = amount + ?, times = times + 1 WHERE owner = ?",
            (event.amount, event.to),
        )


@notebook.on
def note(event: Written, objects: Any) -> None:
    objects[noted][event.name] = event.value


# -- queries -------------------------------------------------------------------------------------------------
Cells = list[tuple[str, Any]]


@registers.query(reads=[board])
class One:
    """One register, by its cell."""

    name: str

    def run(self, view: Any) -> Cells:
        return [_register(view[values], self.name)]


@registers.query(reads=[board], cache=True)
class Kept:
    """As `One`, with the result kept until the table changes."""

    name: str

    def run(self, view: Any) -> Cells:
        return [_register(view[values], self.name)]


@registers.query(reads=[board, ledger, notebook])
class Engines:
    """Every register from a model of each engine, and every account from two of them."""

    def run(self, view: Any) -> Cells:
        cells = [_register(view[values], name) for name in REGISTERS]
        kept = dict(view[ledger].execute("SELECT name, value FROM kept").fetchall())
        for found in (kept, view[noted]):
            cells += [(f"register/{name}", found.get(name)) for name in REGISTERS]
        amounts = {row[0]: (row[1], row[2]) for row in view[ledger].execute("SELECT * FROM received")}
        cells += [(f"received/{owner}", amounts.get(owner)) for owner in ACCOUNTS]
        return cells + [_account("spent", view[spent], owner) for owner in ACCOUNTS]


@registers.query(reads=[board, mirror])
class Everything:
    """Every register from both models, and every account."""

    def run(self, view: Any) -> Cells:
        cells = [_register(view[table], name) for table in (values, copies) for name in REGISTERS]
        for prefix, table in (("spent", spent), ("received", received)):
            cells += [_account(prefix, view[table], owner) for owner in ACCOUNTS]
        return cells


def _register(table: Any, name: str) -> tuple[str, Any]:
    row = table.get(name)
    return f"register/{name}", row and row["value"]


def _account(prefix: str, table: Any, owner: str) -> tuple[str, Any]:
    row = table.get(owner)
    return f"{prefix}/{owner}", row and (row["amount"], row["times"])


# -- the log -------------------------------------------------------------------------------------------------
def command_ends(events: Sequence[RecordedEvent]) -> list[int]:
    """The positions of the last events of commands."""
    following = [event.command_id for event in events[1:]] + [""]
    return [
        event.position for event, after in zip(events, following, strict=True) if event.command_id != after
    ]


def changes(events: Iterable[RecordedEvent]) -> Iterable[tuple[int, str, Any]]:
    """Each cell's values with their positions, from the log alone: nothing is shared with the projections."""
    totals: dict[str, tuple[int, int]] = {}
    for recorded in events:
        event = recorded.event
        if isinstance(event, Written):
            yield recorded.position, f"register/{event.name}", event.value
            continue
        for cell in (f"spent/{event.owner}", f"received/{event.to}"):
            amount, times = totals.get(cell, (0, 0))
            totals[cell] = amount + event.amount, times + 1
            yield recorded.position, cell, totals[cell]
