"""Two schemas side by side: can code with the new one read what was written with the old? Pure; any thread.

Only shapes are compared. Which of the differences concern something that is stored is for the caller to find.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from actors.schema.description import Schema, StoredType
from actors.schema.field_type import admits, parse_type

__all__ = ["Comparison", "Mismatch", "Readable", "compare", "names_of", "near", "without_a_store"]


class Mismatch(NamedTuple):
    """What the new code can't read, or would read as something else.

    `kind` and `name` say of what, and `version` which one was stored. `problem` continues the sentence that
    they begin, and `advice` says what to write. `of_events` are the event types that hold it. `location` is
    in the new code, empty if there is none. It concerns values of that version alone, or of `any_version`
    up to it; of an enum these `members` alone, if there are any.
    """

    kind: str
    name: str
    problem: str
    advice: str
    location: str = ""
    of_events: frozenset[str] = frozenset()
    version: int = 1
    any_version: bool = False
    members: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What it is about."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """`mismatches`; `additions`, a line for each thing that is new and can be read; and `warnings`."""

    mismatches: list[Mismatch] = field(default_factory=list)
    additions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Readable:
    """What code reads beside the names that its schema has.

    `types` and `managers` have present names by former ones. `gone` are the types without a class that
    upcasters make others of, with the last version that they take.
    """

    types: Mapping[str, str] = field(default_factory=dict)
    managers: Mapping[str, str] = field(default_factory=dict)
    gone: Mapping[str, int] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether values of a type that has no class of this name are read."""
        return name in self.types or name in self.gone


def compare(
    old: Schema, new: Schema, locations: Mapping[str, str], readable: Readable | None = None
) -> Comparison:
    """What differs in `new`, whose places in the code are `locations`."""
    return _Comparing(old, new, locations, readable or Readable()).run()


def _breaking(one: Mismatch, old: Schema, new: Schema) -> bool:
    """Whether any store that code with the old schema has filled may be concerned.

    Other mismatches matter only where a process manager has something left.
    """
    if one.kind == "process manager":
        return False
    kept = {
        name
        for manager, then in old.managers.items()
        if manager not in new.managers or new.managers[manager].version == then.version
        for name in (*then.states, *then.timers)
    }
    return one.kind == "domain" or bool(one.of_events) or one.name in old.reached_from(kept)


def without_a_store(found: Comparison, old: Schema, new: Schema) -> Comparison:
    """The same, with warnings in the place of mismatches that matter to few stores."""
    broken = [one for one in found.mismatches if _breaking(one, old, new)]
    others = [
        f"{one.title} {one.problem}: this matters where a process manager has any of it left"
        for one in found.mismatches
        if one not in broken
    ]
    return Comparison(broken, found.additions, [*found.warnings, *others])


class _Comparing:
    def __init__(self, old: Schema, new: Schema, locations: Mapping[str, str], readable: Readable) -> None:
        self.old, self.new, self.locations, self.readable = old, new, locations, readable
        self.former = readable.types
        self.suspected = {
            name: similar
            for name, then in old.types.items()
            if then.kind in ("value", "enum") and name not in new.types and not readable.has(name)
            if (similar := _similar(name, then, old, new)) is not None
        }
        """What types that are gone may be called now: a field of one has no other mismatch than theirs."""
        self.found = Comparison()
        self.bases = {name: one.bases for name, one in new.types.items()}
        self.reaching = {
            name: old.reached_from([name]) for name, one in old.types.items() if one.kind == "event"
        }
        """Of each event, the types that its values may hold."""

    def run(self) -> Comparison:
        if self.old.domain != self.new.domain:
            self.found.mismatches.append(
                Mismatch(
                    "domain",
                    self.old.domain,
                    f"made what is stored, and this code is domain {self.new.domain!r}",
                    "take the domain that made it, or another path; for a domain that was renamed, open with "
                    f"accept=[{self.old.domain!r}]",
                )
            )
        gone = self.old.personal()
        if gone and not self.new.personal():
            self.found.mismatches.append(
                Mismatch(
                    "domain",
                    self.old.domain,
                    f"had personal fields, such as {gone[0]}, and has none in this code",
                    "keep Personal at one field at least: what is stored encrypted can't be read without it",
                )
            )
        self._compare_managers()
        for name, then in sorted(self.old.types.items()):
            self._compare_type(name, then)
        self._compare_streams()
        renamed = {self.former[name] for name in self.old.types if name in self.former}
        for name, now in sorted(self.new.types.items()):
            if name not in self.old.types and name not in renamed:
                self.found.additions.append(f"{now.kind} {name} is new")
        return self.found

    def _add(
        self,
        kind: str,
        name: str,
        problem: str,
        advice: str,
        location: str,
        *,
        any_version: bool = False,
        members: Iterable[str] = (),
    ) -> None:
        events = frozenset(event for event, reached in self.reaching.items() if name in reached)
        version = self.old.types[name].version
        self.found.mismatches.append(
            Mismatch(kind, name, problem, advice, location, events, version, any_version, tuple(members))
        )

    # -- types -------------------------------------------------------------------------------
    def _compare_type(self, name: str, then: StoredType) -> None:
        present = self.former.get(name, name)
        now = self.new.types.get(present)
        if now is None and then.version <= self.readable.gone.get(name, 0):
            return
        if then.kind == "state" and (now is None or now.kind == "state"):
            if now is None or now.fields != then.fields or now.version != then.version:
                self.found.additions.append(f"state {name} is another: its snapshots are not used any more")
            return
        if now is None:
            self._gone(name, then)
            return
        location = self.locations.get(present, "")
        if now.kind != then.kind:
            self._add(
                then.kind,
                name,
                f"is {_a(now.kind)} in this code",
                f"give the {now.kind} another name=, and the {then.kind} its own again",
                location,
                any_version=True,
            )
        elif now.version < then.version:
            self._add(
                then.kind,
                name,
                f"was stored in schema version {then.version}, and this code knows versions up to "
                f"{now.version}",
                "a newer program wrote this store: open it with that one, or with a later one",
                location,
            )
        elif now.version > then.version:
            self.found.additions.append(
                f"{now.kind} {present} has version {now.version}; upcasters read the versions from "
                f"{then.version} on"
            )
        elif then.kind == "enum":
            self._compare_members(name, then, now, location)
        else:
            self._compare_fields(name, then, now, location)
        if then.tags != now.tags and then.kind == "event":
            self.found.warnings.append(
                f"event {name} had the tags {list(then.tags)}, and has {list(now.tags)} now: events that "
                "are stored keep theirs"
            )

    def _gone(self, name: str, then: StoredType) -> None:
        similar = _similar(name, then, self.old, self.new)
        if similar is None:
            advice = f"declare {_a(then.kind)} with name={name!r}"
            if then.kind == "event":
                advice += f', or write @{self.new.domain}.upcast("{name}", gone=True) that makes others of it'
            owner = self.locations.get(then.state or "", "")
            location = owner or next(iter(self.locations.values()), "")
        else:
            advice = f"if it is {similar} now, declare that with formerly={name!r} or name={name!r}"
            location = self.locations.get(similar, "")
        self._add(then.kind, name, "has no class in this code", advice, location, any_version=True)

    def _compare_members(self, name: str, then: StoredType, now: StoredType, location: str) -> None:
        gone = [one for one in then.members if one not in now.members]
        for one in now.members:
            if one not in then.members:
                self.found.additions.append(f"enum {name} has the member {one}")
        if gone:
            self._add(
                "enum",
                name,
                f"has no member {', '.join(gone)} any more",
                f'keep it, or write @{self.new.domain}.upcast("{name}", {now.version}) that maps it to '
                "another member",
                location,
                members=gone,
            )

    def _compare_fields(self, name: str, then: StoredType, now: StoredType, location: str) -> None:
        kind, upcast = then.kind, f'@{self.new.domain}.upcast("{name}", {now.version})'
        gone = [one for one in then.fields if one not in now.fields]
        added = [one for one in now.fields if one not in then.fields]
        needed = [one for one in added if not now.fields[one].default]
        for field_name in added:
            if field_name not in needed:
                self.found.additions.append(f"{kind} {name} has the field {field_name!r}, with a default")
        for field_name in gone:
            heirs = [one for one in added if now.fields[one].type == then.fields[field_name].type]
            if len(heirs) == 1 and len(gone) == 1:
                problem = f"has no field {field_name!r} any more, and a new field {heirs[0]!r} of its type"
                advice = (
                    f"if it was renamed, write {upcast} that returns its fields with {heirs[0]!r} for "
                    f"{field_name!r}"
                )
                needed = [one for one in needed if one != heirs[0]]
            else:
                problem = f"has no field {field_name!r} any more"
                advice = f"keep it, or write {upcast} that drops it"
            self._add(kind, name, problem, advice, location)
        for field_name in needed:
            self._add(
                kind,
                name,
                f"has a new field {field_name!r} without a default",
                f"give it a default, or write {upcast} that adds it",
                location,
            )
        for field_name in then.fields.keys() & now.fields.keys():
            was, is_now = then.fields[field_name], now.fields[field_name]
            if was.type != is_now.type and not self._admits(is_now.type, was.type):
                self._add(
                    kind,
                    name,
                    f"has the field {field_name!r} as {is_now.type}, which was {was.type}",
                    f"let it take both ({was.type} | {is_now.type}), or write {upcast} that converts it",
                    location,
                )
            elif was.personal and not is_now.personal:
                self._add(
                    kind,
                    name,
                    f"has the field {field_name!r} without Personal, which was personal",
                    "keep Personal, without which values that are stored encrypted can't be read",
                    location,
                )
            elif is_now.personal and not was.personal:
                self.found.warnings.append(
                    f"{kind} {name} has the field {field_name!r} as a personal one now: what is stored of it "
                    "stays as it is, and is not forgotten with anybody, until a copy of the store encrypts it"
                )
            elif was.late and not is_now.default:
                self._add(
                    kind,
                    name,
                    f"has no default for the field {field_name!r} any more",
                    f"keep it, which values from before the field need, or write {upcast} that adds it",
                    location,
                )

    def _admits(self, new: str, old: str) -> bool:
        return admits(parse_type(new), parse_type(self._renamed(old)), self.bases)

    def _renamed(self, text: str) -> str:
        if not self.former and not self.suspected:
            return text
        names = {**self.suspected, **self.former}
        return str(parse_type(text).renamed(lambda name: names.get(name, name)))

    # -- streams and managers ----------------------------------------------------------------
    def _compare_streams(self) -> None:
        """One mismatch for each state whose template changed, whatever number of events it has."""
        changed: dict[tuple[str, str, str], set[str]] = {}
        for name, then in self.old.types.items():
            now = self.new.types.get(self.former.get(name, name))
            if then.kind != "event" or now is None or now.kind != "event" or then.state is None:
                continue
            if then.stream is not None and now.stream is not None and then.stream != now.stream:
                key = (then.state, then.stream, now.stream)
                changed.setdefault(key, set()).add(name)
        for (state, was, is_now), events in sorted(changed.items()):
            self.found.mismatches.append(
                Mismatch(
                    "state",
                    state,
                    f"names its streams {is_now!r}, which were {was!r}: every aggregate would start empty",
                    f"write stream={was!r} again; to move events to other streams, copy the store with "
                    "`onewriter copy`",
                    self.locations.get(state, ""),
                    frozenset(events),
                    max(self.old.types[one].version for one in events),
                    any_version=True,
                )
            )

    def _compare_managers(self) -> None:
        for name, then in sorted(self.old.managers.items()):
            now = self.new.managers.get(self.readable.managers.get(name, name))
            if now is None:
                self.found.mismatches.append(
                    Mismatch(
                        "process manager",
                        name,
                        "has no declaration in this code",
                        f"declare it with formerly={name!r} if it was renamed; else let the old program "
                        "finish what it has",
                    )
                )
            elif now.version < then.version:
                self.found.warnings.append(
                    f"process manager {name} had version {then.version}, and has {now.version} now"
                )
        for name in sorted(self.new.managers.keys() - self.old.managers.keys()):
            self.found.additions.append(f"process manager {name} is new")


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _similar(name: str, then: StoredType, old: Schema, new: Schema) -> str | None:
    """A new class of the same kind that may be the old one under another name."""
    fresh = [other for other, now in new.types.items() if now.kind == then.kind and other not in old.types]
    alike = [
        other
        for other in fresh
        if new.types[other].fields.keys() == then.fields.keys()
        and new.types[other].members == then.members
        and new.types[other].state == then.state
    ]
    if len(alike) == 1:
        return alike[0]
    return next(iter(difflib.get_close_matches(name, alike or fresh, 1)), None)


def names_of(*schemas: Schema) -> Iterator[str]:
    """Every name that a mismatch may have."""
    for one in schemas:
        yield one.domain
        yield from one.types
        yield from one.managers


def near(name: str, known: Iterable[str]) -> str:
    """What somebody who wrote `name` may have meant, as the end of a sentence; empty if nothing is near."""
    found: Collection[str] = difflib.get_close_matches(name, list(known), 1)
    return "".join(f"; did you mean {one!r}?" for one in found)
