"""Session tokens: how far a caller has seen, as text from which another request or process can continue.

Any thread. A token is the store's history id and a position, with a checksum: one that was cut off or
changed, and one of another store, are recognised. It is not a secret, and proves nothing about its holder: it
tells how many events the store had.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import blake2b

from actors.errors import ForeignToken, InvalidToken
from actors.replication.progress import Progress
from storage.value_text import short_repr

__all__ = ["SessionTokens", "decode_token", "encode_token"]

PUBLISHED_WITHIN = 0.2
"""Seconds that a token waits at most until its position is published."""

_FORMAT = b"\x01"
_HISTORY, _POSITION, _CHECK = 16, 8, 5
# Together a multiple of three bytes, so that base64 has no padding and each token one spelling only.
_LENGTH = (len(_FORMAT) + _HISTORY + _POSITION + _CHECK) // 3 * 4


def encode_token(history_id: str, position: int) -> str:
    """The token for everything up to `position` in this history: 40 characters, safe in URLs and cookies."""
    body = _FORMAT + _digest(history_id.encode(), _HISTORY) + position.to_bytes(_POSITION)
    return base64.urlsafe_b64encode(body + _digest(body, _CHECK)).decode()


def decode_token(token: str, history_id: str) -> int:
    """The position that a token holds.

    Raises `InvalidToken` for text that is not a whole token, `ForeignToken` for one of another history.
    """
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True) if len(token) == _LENGTH else b""
    except (ValueError, binascii.Error):
        raw = b""
    body, check = raw[:-_CHECK], raw[-_CHECK:]
    if not body or check != _digest(body, _CHECK) or not body.startswith(_FORMAT):
        raise InvalidToken(
            f"{short_repr(token)} is not a session token, or not all of one; give what session.token returned"
        )
    history = body[len(_FORMAT) : -_POSITION]
    if history != _digest(history_id.encode(), _HISTORY):
        raise ForeignToken(
            "the session token belongs to another store, or to this one before it was restored; "
            "start a new session"
        )
    return int.from_bytes(body[-_POSITION:])


def _digest(data: bytes, size: int) -> bytes:
    return blake2b(data, digest_size=size).digest()


class SessionTokens:
    """The tokens of one open store. Any thread."""

    def __init__(self, history_id: str, progress: Progress) -> None:
        self._history_id = history_id
        self._progress = progress

    def issue(self, position: int) -> str:
        """The token for everything up to `position`."""
        # A query of inline models may show a commit a moment before the writer has published it.
        self._progress.wait_committed(position, PUBLISHED_WITHIN)
        return encode_token(self._history_id, position)

    def position(self, token: str) -> int:
        """The position of a token. Raises as `decode_token`, and `ForeignToken` for one ahead of the log.

        A position is given out after its events are on disk, and one process writes a store. So a token that
        is ahead comes from a later state than the one to which the files were restored.
        """
        position = decode_token(token, self._history_id)
        head = self._progress.head
        if position > head:
            raise ForeignToken(
                f"the session token says position {position}, the log ends at {head}: "
                "the store was restored to an earlier state; start a new session"
            )
        return position
