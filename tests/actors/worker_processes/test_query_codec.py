"""Queries arrive at a worker as they were asked, in order."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from actors import Domain
from actors.worker_processes.wire.query_codec import QueryCodec
from storage import CodecError

asking = Domain("asking")
model = asking.read_model("model")


@asking.value
class Span:
    first: date
    last: date


@asking.query(reads=model)
class Everything:
    def run(self, view: Any) -> None: ...


@asking.query(reads=model)
class Between:
    span: Span
    price: Decimal = Decimal("1.50")
    names: tuple[str, ...] = ()

    def run(self, view: Any) -> None: ...


@asking.query(reads=model, name="a stored name")
class Loose:
    anything: Any

    def run(self, view: Any) -> None: ...


compiled = asking.compile()
questions = QueryCodec(compiled.queries.values(), compiled.codec)
SPAN = Span(date(2024, 1, 1), date(2024, 2, 29))


def crossed(*queries: Any) -> list[Any]:
    asked = [(query, compiled.queries[type(query)]) for query in queries]
    there = questions.unpack(questions.pack(asked))
    assert [spec for _, spec in there] == [spec for _, spec in asked]
    return [query for query, _ in there]


@pytest.mark.parametrize(
    "queries",
    [
        [],
        [Everything()],
        [Between(SPAN)],
        [Between(SPAN, Decimal(3), ("a", "b")), Between(SPAN)],
        [Everything(), Between(SPAN), Between(SPAN), Everything(), Everything(), Loose({"deep": [SPAN]})],
    ],
)
def test_queries_of_one_and_of_several_classes_stay_in_order(queries: list[Any]) -> None:
    assert crossed(*queries) == queries


def test_a_value_without_an_encoding_is_refused() -> None:
    with pytest.raises(CodecError, match="object"):
        crossed(Loose(object()))
