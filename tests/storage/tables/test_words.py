# ruff: noqa: RUF001
"""Words of texts in every script: where they end, how they are folded; rows and searches are cut alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uniseg.wordbreak import words as segments

from storage.errors import InvalidKey
from storage.tables import words as table_words
from storage.tables.index import words
from storage.tables.words import fold, split_words, split_words_before

LETTERS = frozenset("LHNKUS")
"""The classes of characters that make a run a word."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop_me, 2nd-hand! ÀÉ stop", ["don't", "stop_me", "2nd", "hand", "àé", "stop"]),
        ("it costs 1,299.50 or 3:1, a.b", ["it", "costs", "1,299.50", "or", "3", "1", "a.b"]),
        ("__ _ ' . __init__ 'quoted'", ["__init__", "quoted"]),
        ("don’t DON'T don‘t don＇t", ["don't"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("தமிழ் বাংলা", ["தமிழ்", "বাংলা"]),
        ("שָׁלוֹם ג'ורג' צה\"ל", ["שָׁלוֹם", "ג'ורג'", 'צה"ל']),
        ("مُحَمَّد", ["مُحَمَّد"]),
        ("İstanbul ISTANBUL istanbul ıstanbul", ["istanbul"]),
        ("straße STRASSE", ["strasse"]),
        ("co\u00adoperate cooperate", ["cooperate"]),
        ("می\u200cخواهم", ["میخواهم"]),
        ("ภาษาไทย ดี", ["ภาษาไทย", "ดี"]),
        ("東京タワー ひら", ["東", "京", "タワー", "ひ", "ら"]),
        ("한국어 ½ 😀 \u0301", ["한국어", "1\u20442"]),
        ("", []),
    ],
)
def test_a_text_is_cut_at_the_boundaries_of_unicode(text: str, expected: list[str]) -> None:
    assert split_words(text) == expected
    for word in expected:
        assert split_words(word) == [word]


ALPHABET = (
    "abcz019 _.,:;'\"-!\u00b7\u2027\u066c\u200b\n\u0301\u0308\u093f\u094d\u05b8\u0651"
    "éßдאבہاकतத\u0b95\u30a2\u30ab\u30fc"
    "あ漢字กีมຂ\u1000ក٣५\u202f\u203f😀\u0e31한ㄅꀀ\u058a\u0995"
)


def words_of_uniseg(text: str) -> list[str]:
    """The words that the package `uniseg` finds, with runs of letters of scripts without spaces joined."""
    found: list[str] = []
    joined = False
    for segment in segments(text):
        classes = set(segment.translate(table_words._classes))
        is_word = not classes.isdisjoint(LETTERS)
        without_spaces = is_word and classes <= set("Sx")
        if without_spaces and joined:
            found[-1] += segment
        elif is_word:
            found.append(segment)
        joined = without_spaces
    return list(dict.fromkeys(found))


LATIN = "ab zé01ßñ_.,:;'\"\u00b7-"


@given(
    st.one_of(
        st.text(ALPHABET, max_size=14), st.text(LATIN, max_size=14), st.text("ab 01_.,:;'", max_size=14)
    )
)
def test_words_end_where_another_implementation_of_the_rules_ends_them(text: str) -> None:
    text = fold(text)
    classes = text.translate(table_words._classes).replace("x", "")
    if not any(rarity in classes for rarity in ("HqN", "Hq_")):
        assert split_words(text) == words_of_uniseg(text)


@given(st.one_of(st.text(max_size=20), st.text(ALPHABET, max_size=20)))
def test_a_word_that_was_found_is_one_word_to_search_for(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    index = words("title")
    for word in split_words(text):
        assert index.sought(word) == word
        assert word in index.values(text)


def test_case_and_spelling_do_not_matter() -> None:
    assert split_words("e\u0301") == split_words("\u00e9") == split_words("É")
    assert split_words("ﬁn") == ["fin"]


def test_several_words_are_none_to_search_for() -> None:
    for text in ("two words", "東京", "", "--"):
        with pytest.raises(InvalidKey, match="not one word"):
            words("title").sought(text)


@pytest.mark.parametrize(
    "text", ["_" * 300_000 + "é", "é" + "_" * 300_000, "é." * 100_000, "a'" * 100_000 + "é"]
)
def test_a_long_text_is_looked_at_once(text: str) -> None:
    assert len(split_words(text)) == 1


def test_the_rule_before_cut_at_marks() -> None:
    assert split_words_before("İstanbul don't") == ["i", "stanbul", "don", "t"]
