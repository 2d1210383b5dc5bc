"""Which record is asked for: ranks by Zipf's law, and numbers scattered over all records. Pure, and with a seed.

The generator is that of Gray et al., "Quickly Generating Billion-Record Synthetic Databases" (SIGMOD 1994), section
3.2, as YCSB uses it (Cooper et al., "Benchmarking Cloud Serving Systems with YCSB", SoCC 2010): one uniform draw a
rank, and no table. Unlike YCSB's, which draws from ten thousand million ranks whatever the number of records,
popular records are scattered after a draw from as many ranks as there are records.
"""

from __future__ import annotations

import math
from random import Random

CONSTANT = 0.99
"""The exponent that YCSB's core workloads take."""

_OFFSET = 0xCBF29CE484222325
_PRIME = 0x100000001B3
_MASK = (1 << 64) - 1


def zeta(count: int, constant: float = CONSTANT) -> float:
    """The sum of 1 / rank ** constant over the first `count` ranks, which begin with 1."""
    return math.fsum(rank**-constant for rank in range(1, count + 1))


class Zipf:
    """Ranks from 0 on; rank r comes with a probability of nearly 1 / ((r + 1) ** constant * zeta(count))."""

    def __init__(self, count: int, constant: float = CONSTANT) -> None:
        """`count` ranks, 2 at least; `constant` is above 0 and below 1."""
        self._count = count
        self._zeta = zeta(count, constant)
        self._alpha = 1 / (1 - constant)
        self._second = 1 + 0.5**constant
        self._eta = (1 - (2 / count) ** (1 - constant)) / (1 - self._second / self._zeta)

    def ranks(self, many: int, seed: int) -> list[int]:
        """So many ranks; the same ones for the same seed."""
        uniform, whole, second, count = Random(seed).random, self._zeta, self._second, self._count
        eta, alpha = self._eta, self._alpha
        base = 1 - eta
        ranks = []
        for _ in range(many):
            u = uniform()
            reached = u * whole
            if reached < 1:
                ranks.append(0)
            elif reached < second:
                ranks.append(1)
            else:
                # Rounding may give the number of ranks itself.
                ranks.append(min(int(count * (eta * u + base) ** alpha), count - 1))
        return ranks


def scattered(number: int) -> int:
    """FNV-1a (Fowler, Noll, Vo) of a number's 8 bytes, 64 bits: neighbours are neighbours no more."""
    found = _OFFSET
    for _ in range(8):
        found = (found ^ number & 255) * _PRIME & _MASK
        number >>= 8
    return found
