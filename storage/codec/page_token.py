"""Page tokens: the last index entry of a page, as text that a web page can carry. Pure, any thread.

A checksum over the entry and the query binds a token to its query, so a token that was cut, altered or passed
to another query is recognised. A token is not secret: it holds index values and the key of the last row.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import blake2b

from storage.errors import InvalidPageToken
from storage.value_text import short_repr

_CHECK_BYTES = 6


def encode_token(entry: bytes, query: str) -> str:
    """The token for a page of `query` that ended with this index entry."""
    return base64.urlsafe_b64encode(_check(entry, query) + entry).decode().rstrip("=")


def decode_token(token: str, query: str) -> bytes:
    """The entry that a token of this query holds. Raises InvalidPageToken for any other text."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (TypeError, ValueError, binascii.Error):
        raw = b""
    entry = raw[_CHECK_BYTES:]
    # Some bits of the last character are not part of any byte: only one of the possible spellings is
    # accepted.
    if not entry or encode_token(entry, query) != token:
        raise InvalidPageToken(
            f"the page token {short_repr(token)} does not belong to this query ({query}): pass the token of "
            "its last page, or none to start at the beginning"
        )
    return entry


def _check(entry: bytes, query: str) -> bytes:
    return blake2b(
        entry, digest_size=_CHECK_BYTES, key=blake2b(query.encode(), digest_size=32).digest()
    ).digest()
