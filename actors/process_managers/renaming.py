"""A process manager that was renamed takes over what is stored under its former name. The opener's thread.

Its ids go on with the name that they began with: so no command and no effect gets a second id, timers that
fired are known, and a rebuild of its states finds the history.
"""

from __future__ import annotations

from collections.abc import Iterable

from actors.domain.process_manager_spec import ProcessManagerSpec
from actors.errors import DomainError
from actors.process_managers.record_keys import RecordKeys
from storage import EventLog
from storage.log.log_reader import LogReader

__all__ = ["ids_of", "name_in_store", "require_own_ids", "take_over"]


def take_over(log: EventLog, spec: ProcessManagerSpec) -> None:
    """Move the records of a manager's former name to its own, in one commit.

    Raises `DomainError` if records of several of its names are stored, and what the log does.
    """
    stored = _stored_names(log, spec)
    if len(stored) > 1:
        raise DomainError(
            f"process manager {spec.name!r} was {stored[1]!r} by its formerly=, but the store has both "
            f"{stored[0]!r} and {stored[1]!r}, each with a progress of its own; leave formerly= out, or "
            "declare both"
        )
    if stored and stored != [spec.name]:
        former, keys = RecordKeys(stored[0]), RecordKeys(spec.name)
        notes: list[tuple[bytes, bytes | None]] = []
        for before, now in zip(former.bases, keys.bases, strict=True):
            for key, value in log.notes(before):
                notes += [(key, None), (now + key[len(before) :], value)]
        ids = log.note(former.ids) or stored[0].encode()
        log.append([], notes=[*notes, (keys.ids, ids)])


def name_in_store(log: LogReader, spec: ProcessManagerSpec) -> str:
    """The name under which its records are: its own, or a former one where managers do not run."""
    return next(iter(_stored_names(log, spec)), spec.name)


def ids_of(log: LogReader, keys: RecordKeys, spec: ProcessManagerSpec) -> str:
    """The name in the ids of a manager."""
    ids = log.note(keys.ids)
    return spec.name if ids is None else ids.decode()


def _stored_names(log: LogReader, spec: ProcessManagerSpec) -> list[str]:
    names = (spec.name, *spec.formerly)
    return [name for name in names if log.note(RecordKeys(name).checkpoint) is not None]


def require_own_ids(specs: Iterable[ProcessManagerSpec]) -> None:
    """Raise `DomainError` if a manager has the name with which the ids of a renamed one begin."""
    by_ids: dict[str, ProcessManagerSpec] = {}
    for spec in specs:
        other = by_ids.setdefault(spec.ids, spec)
        if other is not spec:
            raise DomainError(
                f"the ids of process manager {other.name!r} and of {spec.name!r} would both begin with "
                f"{spec.ids!r}, since one of them had that name before; give the other one another name"
            )
