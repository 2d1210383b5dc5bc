"""Which record is the latest while several callers insert. Any thread."""

from __future__ import annotations

import threading
from collections.abc import Sequence


class Latest:
    """The first records, then those inserted and acknowledged, without a gap: only these are asked for.

    As YCSB's counter of acknowledged inserts: what comes after one that is still on its way does not count
    yet.
    """

    def __init__(self, first: Sequence[str], inserts: Sequence[str]) -> None:
        """`inserts` are the keys that will be inserted, in their order."""
        self._first = first
        self._inserts = inserts
        self._lock = threading.Lock()
        self._early: set[int] = set()
        self.count = 0
        """Inserts that are acknowledged, up to the first that is not."""

    def acknowledged(self, number: int) -> None:
        """The insert of this number, from 0 on, was acknowledged."""
        with self._lock:
            self._early.add(number)
            while self.count in self._early:
                self._early.remove(self.count)
                self.count += 1

    def key(self, rank: int) -> str:
        """The key of the record after which `rank` others came; the first one if there are fewer."""
        number = self.count - 1 - rank
        if number >= 0:
            return self._inserts[number]
        return self._first[max(len(self._first) + number, 0)]
