"""Checks of values that contain others: unions, lists and sets, mappings, tuples of fixed length.

Each is made of its members' checks when a domain is compiled, and runs on the caller's and on the writer's
thread.
"""

from __future__ import annotations

from types import NoneType
from typing import Any

from actors.domain.check import Check, Misfit, describe, shorten

_UNEQUAL = frozenset({str, bytes, NoneType})
"""Types whose values are equal to none of another type."""


def check_union(members: list[Check]) -> Check:
    exact = frozenset(member.exact for member in members if member.exact is not None)
    others = tuple(member.ok for member in members if member.exact is None or len(member.outer) > 1)

    def ok(value: Any) -> bool:
        return type(value) in exact or any(good(value) for good in others)

    def find(value: Any, path: str) -> Misfit:
        near = [member for member in members if type(value) in member.outer]
        return near[0].misfit(value, path) if len(near) == 1 else (path, expected, describe(value))

    expected = " | ".join(member.expected for member in members)
    outer = tuple(dict.fromkeys(kind for member in members for kind in member.outer))
    # 1, True and Decimal(1) are equal; so are lists of them.
    doubtful = [member for member in members if not _UNEQUAL.issuperset(member.outer)]
    plain = all(member.plain for member in members) and len(doubtful) < 2
    inside = frozenset(kind for member in members for kind in member.inside)
    return Check(expected, outer, ok, None, find, plain, inside)


def check_many(expected: str, kind: Any, member: Check) -> Check:
    exact, good = member.exact, member.ok

    def ok(value: Any) -> bool:
        return type(value) is kind and all(type(one) is exact or good(one) for one in value)

    def find(value: Any, path: str) -> Misfit:
        for number, one in enumerate(value):
            if not good(one):
                return member.misfit(one, f"{path}[{number}]")
        return path, expected, describe(value)

    return Check(expected, (kind,), ok, None, find, member.plain, member.holds)


def check_mapping(expected: str, keys: Check, values: Check) -> Check:
    def ok(value: Any) -> bool:
        return type(value) is dict and all(keys.ok(key) and values.ok(one) for key, one in value.items())

    def find(value: Any, path: str) -> Misfit:
        for key, one in value.items():
            if not keys.ok(key):
                return keys.misfit(key, f"{path} key")
            if not values.ok(one):
                return values.misfit(one, f"{path}[{shorten(key)}]")
        return path, expected, describe(value)

    return Check(expected, (dict,), ok, None, find, inside=keys.holds | values.holds)


def check_fixed(expected: str, members: list[Check]) -> Check:
    def ok(value: Any) -> bool:
        return (
            type(value) is tuple
            and len(value) == len(members)
            and all(member.ok(one) for member, one in zip(members, value, strict=True))
        )

    def find(value: Any, path: str) -> Misfit:
        if len(value) == len(members):
            for number, (member, one) in enumerate(zip(members, value, strict=True)):
                if not member.ok(one):
                    return member.misfit(one, f"{path}[{number}]")
        return path, expected, describe(value)

    plain = all(member.plain for member in members)
    inside = frozenset(kind for member in members for kind in member.holds)
    return Check(expected, (tuple,), ok, None, find, plain, inside)
