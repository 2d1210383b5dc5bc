from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import ForeignToken, InvalidToken
from actors.queries.session_token import SessionTokens, decode_token, encode_token
from actors.replication.progress import Progress

HISTORY = "0123456789abcdef0123456789abcdef"
URL_SAFE = set(string.ascii_letters + string.digits + "-_")
POSITIONS = st.integers(0, 2**64 - 1)


@given(POSITIONS)
def test_a_token_is_short_text_that_urls_may_carry_and_gives_its_position_back(position):
    token = encode_token(HISTORY, position)
    assert len(token) == 40
    assert set(token) <= URL_SAFE
    assert decode_token(token, HISTORY) == position


@given(POSITIONS, st.integers(0, 39), st.sampled_from(sorted(URL_SAFE)))
def test_a_token_with_any_character_altered_is_no_token(position, place, character):
    token = encode_token(HISTORY, position)
    altered = token[:place] + character + token[place + 1 :]
    if altered == token:
        return
    with pytest.raises(InvalidToken, match="is not a session token"):
        decode_token(altered, HISTORY)


@pytest.mark.parametrize(
    "text",
    ["", "7", "A" * 40, "!" * 40, "ä" * 40, "\n" * 40, "A" * 41, "Zm9v" * 1000],
    ids=lambda text: text[:4],
)
def test_other_text_is_no_token(text):
    with pytest.raises(InvalidToken, match="is not a session token"):
        decode_token(text, HISTORY)


@pytest.mark.parametrize("cut", range(40))
def test_a_token_that_was_cut_is_no_token(cut):
    with pytest.raises(InvalidToken):
        decode_token(encode_token(HISTORY, 7)[:cut], HISTORY)


def test_a_token_of_another_history_is_foreign():
    with pytest.raises(ForeignToken, match="belongs to another store"):
        decode_token(encode_token(HISTORY, 7), HISTORY.replace("0", "1"))


def test_a_token_ahead_of_the_log_is_foreign_and_one_at_its_head_is_not():
    progress = Progress(7, ["m"], ["a"])
    tokens = SessionTokens(HISTORY, progress)
    assert tokens.position(tokens.issue(7)) == 7
    with pytest.raises(ForeignToken, match="position 8, the log ends at 7"):
        tokens.position(tokens.issue(8))
    progress.committed(8)
    assert tokens.position(tokens.issue(8)) == 8


def test_a_token_waits_for_a_commit_that_was_seen_a_moment_before_it_was_published(monkeypatch):
    progress = Progress(7, ["m"], ["a"])
    tokens = SessionTokens(HISTORY, progress)
    wait = progress.wait_committed

    def publish_while_it_waits(position, timeout):
        progress.committed(8)
        return wait(position, timeout)

    monkeypatch.setattr(progress, "wait_committed", publish_while_it_waits)
    assert tokens.position(tokens.issue(8)) == 8
