"""A domain with a read model of each engine, one of them inline, and a process manager: all that an opening
can take.
"""

from __future__ import annotations

from actors import Do, Domain

shelves = Domain("shelves")


@shelves.state(stream="book-{book}")
class Book:
    book: str


@shelves.event(Book)
class Lent:
    book: str


@shelves.command(Book)
class Lend:
    book: str


@shelves.decide
def lend(book: Book | None, command: Lend):
    yield Lent(command.book)


@shelves.evolve
def lent(book: Book | None, event: Lent) -> Book:
    return Book(event.book)


tables = shelves.read_model("tables")
books = tables.table("books", key="book")


@tables.on
def to_table(event: Lent, target):
    target[books].put({"book": event.book})


inline = shelves.read_model("inline", inline=True)
names = inline.table("names", key="book")


@inline.on
def to_inline(event: Lent, target):
    target[names].put({"book": event.book})


sql = shelves.read_model("sql", engine="sqlite", schema="CREATE TABLE book (name TEXT)")


@sql.on
def to_sql(event: Lent, db):
    db.execute("INSERT INTO book VALUES (?)", (event.book,))


memory = shelves.read_model("memory", engine="memory")
kept = memory.object("kept", list)


@memory.on
def to_memory(event: Lent, objects):
    objects[kept].append(event.book)


@shelves.query(reads=[tables])
class Books:
    def run(self, view):
        return sorted(row["book"] for row in view[books].all())


watching = shelves.process_manager("watching", key="book", start="beginning")


@watching.state
class Watched:
    book: str


@watching.on
def on_lent(state: None, event: Lent, do: Do) -> Watched:
    return Watched(event.book)
