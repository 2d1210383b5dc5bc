"""A query on its way from its caller to its `run`: what runs is what its bytes say.

Then equal bytes mean equal answers, in threads, in worker processes and from the result cache alike, and nothing that
`run` does to a list of the query is seen by its caller or by a second run. Pure; any thread.
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
    """What to keep of a query until it runs: itself where it is shareable, else its bytes.

    One that has no encoding can't be run in a worker process, nor kept by the cache; here it runs as `own_query` says.
    """
    if spec.shareable is None or spec.shareable(query):
        return query
    try:
        return EncodedQuery(codec.pack(query))
    except CodecError:
        return own_query(query, codec)


def opened(query: Any, spec: QuerySpec, codec: Codec) -> Any:
    """What `sealed` kept, to be run. Raises `QueryFailed` where its class refuses what it held."""
    if query.__class__ is not EncodedQuery:
        return query
    try:
        return codec.decode(query.data)
    except CodecError as error:
        raise QueryFailed(
            f"query {spec.name} can't be made again from its own fields, and so can't be run: {error}"
        ) from error


def own_query(query: Any, codec: Codec) -> Any:
    """A copy that nobody else holds, as decoding gives it; of fields without an encoding what the caller holds."""
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
