"""Which events a subscription or a consumer wants: `stream=`, `category=`, `types=`, `tag=`. Pure; any
thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from actors.domain.specs import CompiledDomain
from actors.errors import UnknownMessage
from storage import Codec, RecordedEvent
from storage.log.records import name_key
from storage.value_text import short_repr

__all__ = ["EVERYTHING", "EventFilter", "category_of", "event_filter"]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """The events wanted; where several things are asked for, each of them has to hold. Empty means
    anything.
    """

    stream: str = ""
    category: str = ""
    types: frozenset[str] = frozenset()
    tag: str = ""

    @property
    def anything(self) -> bool:
        """Whether every event is wanted."""
        return not (self.stream or self.category or self.types or self.tag)

    def matches(self, recorded: RecordedEvent) -> bool:
        """Whether this event is wanted."""
        return (
            (not self.types or recorded.type in self.types)
            and (not self.stream or recorded.stream == self.stream)
            and (not self.category or category_of(recorded.stream) == self.category)
            and (not self.tag or self.tag in recorded.tags)
        )

    def covers(self, before: EventFilter, codec: Codec) -> bool:
        """Whether it is what was asked for before, under the names that types have now.

        For a type that has no class any more there may be any others, those that upcasters make of it.
        """
        types = frozenset(map(codec.base_name, before.types))
        left = frozenset(name for name in types if name in codec.registered)
        same = self.types == types if left == types else left <= self.types and bool(self.types)
        return same and replace(self, types=frozenset()) == replace(before, types=frozenset())

    def __str__(self) -> str:
        """As it is written in a call."""
        said = [
            f"{name}={getattr(self, name)!r}" for name in ("stream", "category", "tag") if getattr(self, name)
        ]
        if self.types:
            said.append(f"types={sorted(self.types)}")
        return ", ".join(said) or "every event"

    def stored(self) -> list[Any]:
        """As values for msgpack."""
        return [self.stream, self.category, sorted(self.types), self.tag]

    @classmethod
    def of_stored(cls, values: list[Any]) -> EventFilter:
        """What `stored` gave."""
        stream, category, types, tag = values
        return cls(stream, category, frozenset(types), tag)


EVERYTHING = EventFilter()


def category_of(stream: str) -> str:
    """The part before the first hyphen of a stream's name: `product` of `product-sku-1`."""
    return stream.partition("-")[0]


def event_filter(
    domain: CompiledDomain, stream: Any = None, category: Any = None, types: Any = None, tag: Any = None
) -> EventFilter:
    """The filter that a caller asks for; None stands for anything.

    Raises `TypeError` or `ValueError` for what is no name, `UnknownMessage` for a type that is no event of
    the domain, `InvalidKey` for what can't be the name of a stream or a tag.
    """
    if isinstance(category, str) and "-" in category:
        raise ValueError(
            f"category={category!r} has a hyphen: a category is the part before the first one in a "
            "stream's name, "
            f"here {category_of(category)!r}; name one stream with stream=, or several types with types="
        )
    return EventFilter(
        _name("stream", stream),
        _name("category", category),
        frozenset() if types is None else frozenset(_type_names(domain, types)),
        _name("tag", tag),
    )


def _name(option: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{option}= takes text, not {short_repr(value)}")
    name_key(option, value)
    return value


def _type_names(domain: CompiledDomain, types: Any) -> Iterable[str]:
    known = {spec.name for spec in domain.events.values()}
    several = (
        types if isinstance(types, Iterable) and not isinstance(types, str | Mapping | type) else [types]
    )
    found = 0
    for one in several:
        found += 1
        spec = domain.events.get(one) if isinstance(one, type) else None
        if spec is not None:
            yield spec.name
        elif isinstance(one, str) and one in known:
            yield one
        else:
            hint = ""
            if type(one) in domain.events:
                hint = f"; give the class, {type(one).__name__}, not an instance"
            what = one.__name__ if isinstance(one, type) else f"{short_repr(one)}"
            raise UnknownMessage(
                f"types= was given {what}, which is no event of domain {domain.name!r}{hint}; "
                f"it has: {', '.join(sorted(known)) or 'none'}"
            )
    if not found:
        raise ValueError("types= was given no type; leave it out for events of every type")
