"""Queries as bytes, on their way to a worker process, by the domain's codec: each class once, then its
fields.

Pure; any thread. As whole messages, a hundred queries of one class would take twenty times as long to encode.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from actors.domain.specs import QuerySpec
from storage.codec.codec import Codec
from storage.codec.generated import define

__all__ = ["BoundQuery", "QueryCodec"]

BoundQuery = tuple[Any, QuerySpec]


class _QueryForm:
    """How queries of one class are taken apart and put together again."""

    __slots__ = ("make", "spec", "values")

    def __init__(self, spec: QuerySpec) -> None:
        fields = [field for field in dataclasses.fields(cast(Any, spec.cls)) if field.init]
        names = [field.name for field in fields]
        # A compiled list display, as the codec's. The names come from a dataclass, which lets nothing but
        # identifiers through.
        display = ", ".join(f"query.{name}" for name in names)
        self.spec = spec
        self.values: Callable[[Any], list[Any]] = define(
            "values", f"def values(query):\n    return [{display}]", {}
        )
        self.make: Callable[..., Any] = spec.cls
        if any(field.kw_only for field in fields):
            self.make = lambda *values: spec.cls(**dict(zip(names, values, strict=True)))


class QueryCodec:
    """The queries of one domain, by class and by name."""

    def __init__(self, specs: Iterable[QuerySpec], codec: Codec) -> None:
        self._codec = codec
        forms = [_QueryForm(spec) for spec in specs]
        self._by_class = {form.spec.cls: form for form in forms}
        self._by_name = {form.spec.name: form for form in forms}

    def pack(self, asked: Sequence[BoundQuery]) -> bytes:
        """The queries in their order. Raises `CodecError` for a value that can't be encoded."""
        runs: list[list[Any]] = []
        before = None
        for query, spec in asked:
            if spec is not before:
                before = spec
                values = self._by_class[spec.cls].values
                run: list[Any] = []
                runs.append([spec.name, run])
            run.append(values(query))
        return self._codec.pack(runs)

    def unpack(self, data: bytes) -> list[BoundQuery]:
        """The queries again, each with its spec. Raises what the codec or a class raises."""
        asked: list[BoundQuery] = []
        for name, run in self._codec.unpack(data):
            form = self._by_name[name]
            make, spec = form.make, form.spec
            asked += [(make(*values), spec) for values in run]
        return asked
