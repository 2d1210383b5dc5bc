from __future__ import annotations

from hashlib import blake2b

import pytest

from actors.kernel.unique_mark import mark_of


def test_a_mark_is_the_same_for_ever():
    assert mark_of(["a", 7, "bc"], 12) == blake2b(b"1:a1:72:bc", digest_size=12).hexdigest()
    assert mark_of(["é"], 16, b"payload") == blake2b("1:épayload".encode(), digest_size=16).hexdigest()
    assert len(mark_of([], 16)) == 32


@pytest.mark.parametrize(
    ("parts", "others"),
    [(["ab", "c"], ["a", "bc"]), (["a", ""], ["a"]), (["1:a"], ["a", ""]), (["\ud800"], ["?"])],
)
def test_other_parts_have_another_mark(parts, others):
    assert mark_of(parts, 12) != mark_of(others, 12)
