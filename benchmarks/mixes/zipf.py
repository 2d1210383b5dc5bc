"""Which record is asked for: ranks by Zipf's law, and numbers scattered over all records.

Pure, and with a seed.

YCSB draws by an approximation (Gray et al., "Quickly Generating Billion-Record Synthetic Databases", SIGMOD
1994) from ten thousand million ranks whatever the number of records. Here the draw is exact, from as many
ranks as there are records, and popular records are scattered after it.
"""

from __future__ import annotations

import hashlib
from itertools import accumulate
from random import Random

CONSTANT = 0.99
"""The exponent that YCSB's core workloads take."""


class Zipf:
    """Ranks from 0 on; rank r comes with a probability in proportion to 1 / (r + 1) ** constant."""

    def __init__(self, count: int, constant: float = CONSTANT) -> None:
        self._ranks = range(count)
        self._shares = list(accumulate(rank**-constant for rank in range(1, count + 1)))

    def ranks(self, many: int, seed: int) -> list[int]:
        """So many ranks; the same ones for the same seed."""
        return Random(seed).choices(self._ranks, cum_weights=self._shares, k=many)


def scattered(number: int) -> int:
    """64 bits of a hash of a number: neighbours are neighbours no more."""
    return int.from_bytes(hashlib.blake2b(number.to_bytes(8), digest_size=8).digest())
