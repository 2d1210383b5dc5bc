"""Functions made of text: each has names and code of its own, though a text is compiled only once."""

from __future__ import annotations

from dataclasses import make_dataclass

import pytest

from storage import Codec
from storage.codec import generated
from storage.codec.generated import define

TEXT = """def shown(value):
    try:
        return value.name, other
    except AttributeError:
        return None
"""


def test_functions_of_one_text_have_names_and_code_of_their_own() -> None:
    first, second = define("shown", TEXT, {"other": 1}), define("shown", TEXT, {"other": 2})
    assert first.__name__ == "shown"
    assert (first(object()), second(object())) == (None, None)
    named = make_dataclass("Named", ["name"])("ann")
    assert (first(named), second(named)) == (("ann", 1), ("ann", 2))
    # The interpreter adapts code to what it meets: shared code would be adapted to one class after another.
    assert first.__code__ is not second.__code__


def test_a_second_codec_for_the_same_classes_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = [
        make_dataclass(f"Seen{number}", ["name", "by"], frozen=True, slots=True) for number in range(3)
    ]

    def registered() -> Codec:
        codec = Codec()
        for cls in classes:
            codec.register(cls)
        return codec

    first = registered()
    compiled = generated._compiled.cache_info().misses
    second = registered()
    assert generated._compiled.cache_info().misses == compiled
    for cls in classes:
        value = cls(name="ann", by=1)
        assert second.decode(first.encode(value)) == first.decode(second.encode(value)) == value
