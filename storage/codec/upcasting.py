"""Upcasters: functions that turn the stored fields of an older version of a class into those of the next one.

A class's version is part of the name that it is stored under: "PriceChanged" is version 1, "PriceChanged@2"
version 2. So bytes on disk never change, and each stored name leads to one chain of upcasters, which ends
with the class. Pure; any thread, once the chains are known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from storage.errors import UpcastFailed
from storage.value_text import short_repr

__all__ = ["VERSION_MARK", "Chain", "Stored", "Upcaster", "stored_name", "version_of"]

VERSION_MARK = "@"
MAX_HOPS = 100
"""Changes of class on the way of one event; more of them go round in a circle."""

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """The stored form of an event, which an upcaster returns for one of another class.

    `name` is the stored name of that class, and `version` the version of it that `fields` are of: 1 unless
    given, also when the class has a later one by now. Later upcasters of that class see it too.
    """

    name: str
    fields: Fields
    version: int = 1


class Upcaster(NamedTuple):
    """From `version` of what is stored as `name` to the next version; `where` is its file and line.

    `fn` takes the stored fields by name, their values decoded, and returns those of the next version. For an
    event it may also return a `Stored`, or a list of `Stored` and fields: several events, or none. For an
    enum it takes a member's name and returns one.
    """

    name: str
    version: int
    fn: Callable[[Any], Any]
    where: str

    def __str__(self) -> str:
        called = getattr(self.fn, "__qualname__", None) or repr(self.fn)
        return f"upcaster {called} of {self.name} version {self.version} ({self.where})"

    def failed(self, why: str) -> UpcastFailed:
        """The error for a result that does not do."""
        return UpcastFailed(f"{self} returned {why}")


class Read(NamedTuple):
    """What a stored event is read as: the name and the message."""

    name: str
    message: Any


class Chain:
    """The way from each version of what is stored as `name` to its class, None if there is no such class.

    `chains` has the chains of all classes by name, those without upcasters too. `build` makes the class from
    its fields, `check` raises for a message whose fields are not of their types.
    """

    __slots__ = ("_build", "_chains", "_check", "_functions", "_own", "_safe", "_several", "_steps", "name")

    def __init__(
        self,
        name: str,
        steps: Sequence[Upcaster],
        build: Callable[[Fields], Any] | None,
        check: Callable[[Any], None] | None,
        own: Callable[[Any], Any],
        safe: Collection[type],
        several: bool,
        chains: Mapping[str, Chain],
    ) -> None:
        """`own` gives a message with values that nobody else holds, as they are decoded. Those of a `safe`
        class have no others.

        `several` says whether upcasters may return anything but fields: those of events may.
        """
        self.name = name
        self._steps = tuple(steps)
        self._functions = [tuple(step.fn for step in steps[at:]) for at in range(len(steps) + 1)]
        self._build = build
        self._check = check
        self._own = own
        self._safe = safe
        self._several = several
        self._chains = chains

    @property
    def current(self) -> int:
        """The version that is written now."""
        return len(self._steps) + 1

    @property
    def may_differ(self) -> bool:
        """Whether something else than one message of the class may be made of what is stored."""
        return self._several and bool(self._steps)

    def read(self, version: int, fields: Fields, hops: int = 0) -> Any:
        """What stored fields of a version are read as: a message, or a list of any number of `Read`.

        Raises UpcastFailed.
        """
        done = 0
        try:
            for fn in self._functions[version - 1]:
                result = fn(fields)
                if result.__class__ is not dict:
                    return self._parts(self._steps[version - 1 + done], result, hops)
                fields = result
                done += 1
            if self._build is None:
                raise UpcastFailed(self._no_class())
            message = self._build(fields)
            if self._check is not None:
                self._check(message)
            return message if message.__class__ in self._safe else self._own(message)
        except UpcastFailed:
            raise
        except Exception as error:
            raise self._failed(version, done, error) from error

    def one(self, version: int, fields: Fields) -> Any:
        """The one message that stored fields of a version are; raises UpcastFailed for several, or none."""
        read = self.read(version, fields)
        if type(read) is not list:
            return read
        if len(read) != 1:
            raise UpcastFailed(
                f"upcasters of {self.name} made {len(read)} events of one that is inside another value; let "
                "them return one"
            )
        return read[0].message

    def _parts(self, step: Upcaster, result: Any, hops: int) -> list[Read]:
        if not self._several:
            raise step.failed(f"{short_repr(result)}; it must return a dict of fields")
        if type(result) is Stored:
            return self._part(step, result, hops)
        if type(result) is not list and type(result) is not tuple:
            raise step.failed(
                f"{short_repr(result)}; it must return a dict of fields, a Stored, or a list of them"
            )
        return [read for part in result for read in self._part(step, part, hops)]

    def _part(self, step: Upcaster, part: Any, hops: int) -> list[Read]:
        if type(part) is dict:
            return self._listed(step.version + 1, part, hops)
        if type(part) is not Stored:
            raise step.failed(f"a list with {short_repr(part)} in it; it must hold dicts of fields or Stored")
        if type(part.fields) is not dict:
            raise step.failed(f"{short_repr(part)}, whose fields are not a dict")
        chain = self._chains.get(part.name)
        if chain is None or not chain._several:
            raise step.failed(f"{short_repr(part)}, but no event is stored as {short_repr(part.name)}")
        if type(part.version) is not int or not 1 <= part.version <= chain.current:
            raise step.failed(
                f"{short_repr(part)}, but {part.name} has the versions 1 to {chain.current}"
                if chain.current > 1
                else f"{short_repr(part)}, but {part.name} has only version 1"
            )
        if hops >= MAX_HOPS:
            raise step.failed(
                f"{short_repr(part)}, after {MAX_HOPS} changes of class: upcasters go round in a circle"
            )
        try:
            return chain._listed(part.version, part.fields, hops + 1)
        except UpcastFailed as error:
            if part.version < chain.current:
                raise
            raise step.failed(
                f"{short_repr(part)}, which does not fit: {error.__cause__ or error}"
            ) from error

    def _listed(self, version: int, fields: Fields, hops: int) -> list[Read]:
        read = self.read(version, fields, hops)
        return read if type(read) is list else [Read(self.name, read)]

    def _no_class(self) -> str:
        if not self._steps:
            return f"no class is registered as {self.name}"
        return (
            f"{self._steps[-1]} returned fields, but no class is registered as {self.name}; return a Stored "
            "of another class, or an empty list"
        )

    def _failed(self, version: int, done: int, error: Exception) -> UpcastFailed:
        steps = self._steps[version - 1 :]
        if done < len(steps):
            return UpcastFailed(f"{steps[done]} failed with {type(error).__name__}: {error}")
        if steps:
            return steps[-1].failed(f"fields that do not fit {self.name}: {error}")
        return UpcastFailed(f"fields do not fit {self.name}: {error}")


def stored_name(name: str, version: int) -> str:
    """The name under which a version of a class is stored."""
    return name if version == 1 else f"{name}{VERSION_MARK}{version}"


def version_of(stored: Any) -> tuple[str, int]:
    """The name and the version that a stored name says, whether they are known or not."""
    if not isinstance(stored, str):  # damaged bytes
        return stored, 1
    name, mark, number = stored.rpartition(VERSION_MARK)
    return (name, int(number)) if mark and number.isdecimal() else (stored, 1)


def upcast_member(steps: Iterable[Upcaster], member: Any) -> str:
    """The name that a member of an enum has after these upcasters. Raises UpcastFailed."""
    for step in steps:
        try:
            member = step.fn(member)
        except Exception as error:
            raise UpcastFailed(f"{step} failed with {type(error).__name__}: {error}") from error
        if type(member) is not str:
            raise step.failed(f"{short_repr(member)}; it must return the name of a member")
    return str(member)
