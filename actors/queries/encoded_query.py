"""A query between its caller and its `run`: what runs is decoded from the query's bytes.

So equal bytes mean equal answers, in threads, in worker processes and from the result cache, and if `run`
changes a list of the query, neither its caller nor a second run sees that. Pure; any thread.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from actors.domain.specs import QuerySpec
from actors.errors import QueryFailed
from storage import CodecError
from storage.codec.codec import Codec

__all__ = ["EncodedQuery", "opened", "own_query", "sealed"]


class EncodedQuery:
    """A query as its bytes, to be decoded for each run."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


def sealed(query: Any, spec: QuerySpec, codec: Codec) -> Any:
    """What to keep of a query until it runs: the query itself if it is shareable, otherwise its bytes.

    A query that can't be encoded runs in no worker process and is not cached; in threads, a copy of it runs:
    that of `own_query`.
    """
    if spec.shareable is None or spec.shareable(query):
        return query
    try:
        return EncodedQuery(codec.pack(query))
    except CodecError:
        return own_query(query, codec)


def opened(query: Any, spec: QuerySpec, codec: Codec) -> Any:
    """What `sealed` kept, to be run. Raises `QueryFailed` if its class refuses its own values."""
    if query.__class__ is not EncodedQuery:
        return query
    try:
        return codec.decode(query.data)
    except CodecError as error:
        raise QueryFailed(
            f"query {spec.name} can't be made again from its own fields, and so can't be run: {error}"
        ) from error


def own_query(query: Any, codec: Codec) -> Any:
    """A copy that only the caller of this holds, as decoded; a field that can't be encoded is shared."""
    try:
        return codec.own(query)
    except CodecError:
        name, fields = codec.describe(query)
    for field, value in fields.items():
        with suppress(CodecError):
            fields[field] = codec.own(value)
    with suppress(CodecError):
        return codec.build(name, fields)
    return query
