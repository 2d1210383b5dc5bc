"""The search for an order of the operations on one register, against histories whose answer is known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.consistency.linearizability import Access, refute


def wrote(value: int, invoked: int, returned: int | None) -> Access:
    return Access(True, value, invoked, returned)


def read(value: int | None, invoked: int, returned: int) -> Access:
    return Access(False, value, invoked, returned)


GOOD = {
    "nothing": [],
    "a read before any write": [read(None, 0, 1)],
    "one after the other": [wrote(1, 0, 1), read(1, 2, 3), wrote(2, 4, 5), read(2, 6, 7)],
    "a read beside a write may see it": [wrote(1, 0, 9), read(1, 1, 2)],
    "a read beside a write may miss it": [wrote(1, 0, 9), read(None, 1, 2)],
    "writes beside each other in the order that reads say": [
        wrote(1, 0, 9),
        wrote(2, 0, 9),
        read(2, 1, 2),
        read(1, 3, 4),
    ],
    "a write of unknown outcome that nobody saw": [wrote(1, 0, 1), wrote(2, 2, None), read(1, 3, 4)],
    "a write of unknown outcome that takes effect late": [
        wrote(1, 0, None),
        read(None, 10, 11),
        wrote(2, 12, 13),
        read(2, 14, 15),
        read(1, 16, 17),
    ],
    "an operation that begins as another ends is beside it": [wrote(1, 0, 5), read(None, 5, 6)],
}

BAD = {
    "a read that misses a finished write": [wrote(1, 0, 1), read(None, 2, 3)],
    "a read of what nobody wrote": [wrote(1, 0, 1), read(7, 2, 3)],
    "a read before its write": [read(1, 0, 1), wrote(1, 2, 3)],
    "new, then old": [wrote(1, 0, 9), read(1, 1, 2), read(None, 3, 4)],
    "an overwritten value comes back": [
        wrote(1, 0, 1),
        wrote(2, 2, 3),
        read(2, 4, 5),
        read(1, 6, 7),
    ],
    "two readers see two writes in two orders": [
        wrote(1, 0, 99),
        wrote(2, 0, 99),
        read(1, 1, 2),
        read(2, 3, 4),
        read(1, 5, 6),
    ],
    "a write of unknown outcome that was seen and then not any more": [
        wrote(1, 0, None),
        read(1, 1, 2),
        read(None, 3, 4),
    ],
    "a write of unknown outcome that is seen before it is asked for": [read(1, 0, 1), wrote(1, 2, None)],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_history_that_has_an_order_is_accepted(name: str) -> None:
    assert refute(GOOD[name]) is None


@pytest.mark.parametrize("name", BAD)
def test_a_history_without_an_order_is_refused(name: str) -> None:
    assert refute(BAD[name]) is not None


def test_a_refusal_names_what_the_register_holds_what_has_no_place_and_the_read_that_is_to_blame() -> None:
    refutation = refute([wrote(1, 0, 1), wrote(2, 2, 3), Access(False, 1, 4, 5, client=7)])
    assert refutation is not None
    assert refutation.ordered == (wrote(1, 0, 1),)
    assert refutation.value == 1
    assert refutation.stuck == wrote(2, 2, 3)
    assert refutation.to_come == Access(False, 1, 4, 5, client=7)
    assert "client 7 read 1 from 4 to 5" in str(refutation)


def test_a_long_history_of_many_clients_takes_no_long_search() -> None:
    # Twelve writes beside each other all the time, each block read once: what is not ruled out at once is
    # tried in every order.
    accesses = []
    for block in range(200):
        at = block * 100
        accesses += [wrote(block * 12 + number, at + number, at + 80) for number in range(12)]
        accesses.append(read(block * 12 + block % 12, at + 90, at + 95))
    assert refute(accesses) is None
    assert refute([*accesses, read(0, 30_000, 30_001)]) is not None


# -- against other ways to know ------------------------------------------------------------------------------
@st.composite
def real_histories(draw: st.DrawFn) -> list[Access]:
    """What callers of a real register meet: each operation happens at one moment between its two times."""
    value: int | None = None
    accesses = []
    for moment in range(draw(st.integers(0, 25))):
        at = moment * 10
        invoked, returned = at - draw(st.integers(0, 60)), at + draw(st.integers(0, 60))
        if draw(st.booleans()):
            value = moment
            accesses.append(wrote(value, invoked, draw(st.sampled_from([returned, None]))))
        else:
            accesses.append(read(value, invoked, returned))
    accesses += [
        wrote(-number, draw(st.integers(0, 250)), None) for number in range(1, draw(st.integers(1, 4)))
    ]
    return draw(st.permutations(accesses))


@given(real_histories())
def test_what_a_real_register_did_is_always_accepted(accesses: list[Access]) -> None:
    assert refute(accesses) is None


@st.composite
def any_histories(draw: st.DrawFn) -> list[Access]:
    """Writes and reads of which nothing is known; a few values, so that many of them have an order."""
    writes = draw(st.integers(1, 5))
    times = st.tuples(st.integers(0, 30), st.integers(0, 12))
    accesses = []
    for value in range(writes):
        start, length = draw(times)
        accesses.append(wrote(value, start, start + length))
    for _ in range(draw(st.integers(0, 6))):
        start, length = draw(times)
        accesses.append(read(draw(st.integers(0, writes - 1)), start, start + length))
    return accesses


@given(any_histories())
def test_it_agrees_with_the_zones_of_gibbons_and_korach(accesses: list[Access]) -> None:
    assert (refute(accesses) is None) == zones_allow(accesses)


def zones_allow(accesses: Sequence[Access]) -> bool:
    """Testing shared memories (1997), for complete histories in which every value is written once.

    A value's zone goes from the first end to the last beginning among its write and its reads. It is forward
    if that is in the order of time: the value has to be held all through. Else it is backward: anywhere
    within it will do. No two forward zones may overlap, no backward one lie within a forward one, no read end
    before its write.
    """
    by_value: dict[object, list[Access]] = defaultdict(list)
    for access in accesses:
        by_value[access.value].append(access)
    forward, backward = [], []
    for cluster in by_value.values():
        [write] = [access for access in cluster if access.write]
        if any(access.returned < write.invoked for access in cluster):
            return False
        first_end = min(access.returned for access in cluster)
        last_begin = max(access.invoked for access in cluster)
        if first_end < last_begin:
            forward.append((first_end, last_begin))
        else:
            backward.append((last_begin, first_end))
    forward.sort()
    if any(one[1] > other[0] for one, other in pairwise(forward)):
        return False
    return not any(low < within[0] and within[1] < high for low, high in forward for within in backward)
