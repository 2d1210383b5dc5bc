"""A token carries the last entry of a page, and only for the query that gave it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.codec.page_token import decode_token, encode_token
from storage.errors import InvalidPageToken

ENTRY = b"0oak\x0000000001"
QUERY = "table 'plants', index 'name'"
TOKEN = encode_token(ENTRY, QUERY)
URL_SAFE = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(entry=st.binary(min_size=1, max_size=60), query=st.text(max_size=20))
def test_an_entry_comes_back_from_a_token_that_a_web_page_can_carry(entry: bytes, query: str) -> None:
    token = encode_token(entry, query)
    assert set(token) <= URL_SAFE
    assert decode_token(token, query) == entry


@given(entry=st.binary(min_size=1, max_size=20), at=st.integers(0), put=st.sampled_from(sorted(URL_SAFE)))
def test_a_token_of_which_one_character_is_another_belongs_to_no_query(
    entry: bytes, at: int, put: str
) -> None:
    token = encode_token(entry, QUERY)
    at %= len(token)
    altered = token[:at] + put + token[at + 1 :]
    if altered != token:
        with pytest.raises(InvalidPageToken):
            decode_token(altered, QUERY)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "oak",
        TOKEN[:-1],
        TOKEN + "A",
        TOKEN + "=",
        f" {TOKEN}",
        TOKEN[:8],  # the checksum of an entry that is not there
        encode_token(b"", QUERY),
        "ä" * 12,
        "\ud800",
    ],
)
def test_what_is_no_token_of_the_query_is_refused(token: str) -> None:
    with pytest.raises(InvalidPageToken, match="does not belong to this query") as caught:
        decode_token(token, QUERY)
    assert f"({QUERY}): pass the token of its last page, or none" in str(caught.value)


@pytest.mark.parametrize("token", [7, None, b"oak"])
def test_what_is_no_text_is_no_token(token: object) -> None:
    with pytest.raises(InvalidPageToken):
        decode_token(token, QUERY)  # type: ignore[arg-type]


@pytest.mark.parametrize("query", ["", QUERY + " ", QUERY.replace("name", "size"), QUERY.upper()])
def test_a_token_of_one_query_is_refused_by_another(query: str) -> None:
    with pytest.raises(InvalidPageToken):
        decode_token(TOKEN, query)
