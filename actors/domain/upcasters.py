"""Checks upcasters and former names, and tells the codec of them. Runs when the domain is compiled."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from actors.domain.declarations import Declared, UpcastRule
from actors.domain.field_checks import FieldChecks
from actors.domain.fingerprint import of_function
from actors.domain.problems import Problems
from actors.domain.signatures import signature_problem
from actors.domain.source_location import location_of, name_of
from storage.codec.codec import Codec
from storage.codec.upcasting import VERSION_MARK, Upcaster
from storage.value_text import short_repr

__all__ = ["Upcasters"]

STORED = ("state", "event", "command", "value")


class Upcasters:
    """The upcasters of a domain, and the names that its classes had; mistakes go to `problems`."""

    def __init__(self, declared: Iterable[Declared], rules: Sequence[UpcastRule], problems: Problems) -> None:
        self._problems = problems
        self._declared = {one.name: one for one in declared}
        self._former = self._former_names()
        self.steps: dict[str, tuple[Upcaster, ...]] = {
            name: self._chain(name, found) for name, found in self._by_name(rules).items()
        }
        """The upcasters by the name of what they read, from version 1 on."""

    def tell(self, codec: Codec, checks: FieldChecks) -> None:
        """Have the codec, which knows the classes, read through them."""
        if not self.steps and not any(self._former.values()):
            return
        for name, one in self._declared.items():
            if one.kind in STORED and name in codec.registered:
                codec.read_through(
                    name,
                    self.steps.get(name, ()),
                    self._former.get(name, ()),
                    event=one.kind == "event",
                    check=checks.checker(one.cls, name) if dataclasses.is_dataclass(one.cls) else None,
                )
        for name, steps in self.steps.items():
            if name not in self._declared:
                codec.read_through(name, steps, event=True)

    def fingerprint(self, names: Iterable[str]) -> str:
        """Changes with the upcasters of these names, and with those of events that have no class any more."""
        return ",".join(
            f"{step.name} {step.version} {of_function(step.fn)}"
            for name in sorted({*names, *(self.steps.keys() - self._declared.keys())})
            for step in self.steps.get(name, ())
        )

    # -- inside -----------------------------------------------------------------------------
    def _former_names(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        taken: dict[str, Declared] = {}
        for one in self._declared.values():
            names = []
            for name in one.formerly:
                what = f"{one.kind} {one.name}: formerly={short_repr(name)}"
                holder = self._declared.get(name) or taken.get(name) if isinstance(name, str) else None
                if not isinstance(name, str) or not name or VERSION_MARK in name:
                    text = f"{what} is not the name of a class; give the name without a version, or several"
                elif holder is not None:
                    text = f"{what} is the name of the {holder.kind} at {holder.location}; each name has one"
                else:
                    taken[name] = one
                    names.append(name)
                    continue
                self._problems.add(one.location, text)
            found[one.name] = tuple(names)
        return found

    def _by_name(self, rules: Sequence[UpcastRule]) -> Mapping[str, list[UpcastRule]]:
        now = {former: name for name, formers in self._former.items() for former in formers}
        by_class = {one.cls: one.name for one in self._declared.values()}
        found: dict[str, list[UpcastRule]] = {}
        for rule in rules:
            what = f"upcaster {name_of(rule.fn)} of {_shown(rule.name)}"
            given: Any = by_class.get(rule.name, rule.name) if isinstance(rule.name, type) else rule.name
            name = now.get(given, given) if isinstance(given, str) else None
            one = None if name is None else self._declared.get(name)
            text = None
            if name is None:
                text = f"{what}: it is no class of this domain; give the name that it is stored under"
            elif one is None and not rule.gone:
                text = (
                    f"{what}: no class has this name; name one of this domain, or write gone=True if it is "
                    "there no more"
                )
            elif one is not None and rule.gone:
                text = f"{what}: it has a class, at {one.location}; leave gone=True out"
            elif one is not None and one.kind not in STORED:
                text = f"{what}: a {one.kind} is never stored, so there is nothing to read"
            elif type(rule.version) is not int or rule.version < 1:
                text = f"{what}: version must be an int from 1, got {short_repr(rule.version)}"
            else:
                wrong = signature_problem(rule.fn, 1, 1)
                text = None if wrong is None else f"{what} {wrong}"
            if text is not None or name is None:
                self._problems.add(rule.location, str(text))
            else:
                found.setdefault(name, []).append(rule)
        return found

    def _chain(self, name: str, rules: Sequence[UpcastRule]) -> tuple[Upcaster, ...]:
        by_version: dict[int, UpcastRule] = {}
        for rule in rules:
            first = by_version.setdefault(rule.version, rule)
            if first is not rule:
                self._problems.add(
                    rule.location,
                    f"upcaster {name_of(rule.fn)} of {name}: version {rule.version} has one at "
                    f"{location_of(first.fn)} already; give the version that this one takes",
                )
        for version in range(1, max(by_version) + 1):
            if version not in by_version:
                later = by_version[min(number for number in by_version if number > version)]
                self._problems.add(
                    later.location,
                    f"upcaster {name_of(later.fn)} of {name}: it takes version {later.version}, but nothing "
                    f"takes version {version}; versions count from 1 without a gap",
                )
                return ()
        return tuple(
            Upcaster(name, version, by_version[version].fn, location_of(by_version[version].fn))
            for version in sorted(by_version)
        )


def former_names(given: Any) -> tuple[Any, ...]:
    """What was given as `formerly=`, as a tuple. It is checked when the domain is compiled."""
    return tuple(given) if isinstance(given, list | tuple | set | frozenset) else (given,)


def _shown(name: Any) -> str:
    return name_of(name) if isinstance(name, type) else short_repr(name)
