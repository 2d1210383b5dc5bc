"""Releases of a domain whose field becomes personal, and is renamed and moved later.

Its annotations are evaluated at once, so that each release has its own.
"""

from typing import Annotated, Any

from actors import Domain, Personal

PERSONAL = Annotated[str, Personal("who")]


def release(kind: Any) -> tuple[Domain, Any]:
    """The domain with this type of text, and its command."""
    domain = Domain("notes")

    @domain.state(stream="note-{who}")
    class Note:
        who: str
        text: kind

    @domain.event(Note)
    class Noted:
        who: str
        text: kind

    @domain.command(Note)
    class TakeNote:
        who: str
        text: kind

    @domain.decide
    def take(note: Note | None, command: TakeNote):
        yield Noted(command.who, command.text)

    @domain.evolve
    def noted(note: Note | None, event: Noted) -> Note:
        return Note(event.who, event.text)

    return domain, TakeNote


def later_release() -> tuple[Domain, Any, list[dict[str, Any]]]:
    """The domain once the event has another name, and an upcaster; its event, and what the upcaster got."""
    domain, seen = Domain("notes"), []

    @domain.state(stream="note-{who}")
    class Note:
        who: str
        body: PERSONAL

    @domain.event(Note, formerly="Noted")
    class Written:
        who: str
        body: PERSONAL

    @domain.command(Note)
    class TakeNote:
        who: str
        text: PERSONAL

    @domain.upcast(Written, 1)
    def renamed(fields):
        seen.append(dict(fields))
        fields["body"] = fields.pop("text").upper()
        return fields

    @domain.decide
    def take(note: Note | None, command: TakeNote):
        yield Written(command.who, command.text)

    @domain.evolve
    def noted(note: Note | None, event: Written) -> Note:
        return Note(event.who, event.body)

    return domain, Written, seen


def unchanged(event: Any) -> Any:
    """For a copy that changes nothing."""
    return event
