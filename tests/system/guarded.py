"""A domain with a guard, for worker processes, which import it."""

from __future__ import annotations

import contextvars

from actors import Access, Domain, Forbidden

user = contextvars.ContextVar("user", default="nobody")
post = Domain("post")


@post.state(stream="letter-{letter}")
class Letter:
    letter: str


@post.event(Letter)
class Sent:
    letter: str


@post.command(Letter)
class Send:
    letter: str


@post.decide
def send(letter: Letter | None, command: Send):
    yield Sent(command.letter)


@post.evolve
def sent(letter: Letter | None, event: Sent) -> Letter:
    return Letter(event.letter)


model = post.read_model("model")
table = model.table("letters", key="letter")


@model.on
def on_sent(event: Sent, tables):
    tables[table].put({"letter": event.letter})


@post.query(reads=[model], cache=True)
class Letters:
    def run(self, view):
        return sorted(row["letter"] for row in view[table].all())


@post.guard
def allow(access: Access) -> None:
    if user.get() != "ann":
        raise Forbidden(f"{user.get()} may not {access.kind}")
