"""Is there one order of the operations on a register that fits what each saw and when each ran? Pure.

The search is that of Wing and Gong (Testing and verifying concurrent objects, 1993) with Lowe's memory of
configurations met before (Testing for linearizability, 2017), as Knossos and Porcupine have it: take an
operation that nothing still waiting had ended before, apply it if the register allows, and step back when
none fits. As every value is written once, a value that is overwritten is never read again, which rules most
choices out at once. Keys are independent of each other (Herlihy and Wing, 1990), so each one is checked
alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

__all__ = ["Access", "Refutation", "refute"]


@dataclass(frozen=True, slots=True)
class Access:
    """A write of `value`, or a read that saw it. `returned` is None for a write of unknown outcome."""

    write: bool
    value: Hashable
    invoked: int
    returned: int | None
    client: int = 0

    def __str__(self) -> str:
        verb = "wrote" if self.write else "read"
        return f"client {self.client} {verb} {self.value!r} from {self.invoked} to {self.returned}"


@dataclass(frozen=True, slots=True)
class Refutation:
    """Why no order fits: the longest one found leaves the register at `value`, and `stuck` has no place after
    it.

    `to_come` is a read that needs that value still.
    """

    ordered: tuple[Access, ...]
    value: Hashable
    stuck: Access
    to_come: Access | None

    def __str__(self) -> str:
        last = (
            f" after {len(self.ordered)} operations, of which the last: {self.ordered[-1]}"
            if self.ordered
            else ""
        )
        still = f"; still to come is: {self.to_come}" if self.to_come else ""
        return (
            f"no order fits: the register holds {self.value!r}{last}; "
            f"no place is left for: {self.stuck}{still}"
        )


class _Entry:
    """A beginning (`end` is its end) or an end (`end` is None) in the list of all, in the order of time."""

    __slots__ = ("access", "bit", "end", "next", "previous")

    def __init__(self, access: Access, bit: int, end: _Entry | None) -> None:
        self.access = access
        self.bit = bit
        self.end = end
        self.previous: _Entry = self
        self.next: _Entry | None = None

    def remove(self) -> None:
        self.previous.next = self.next
        if self.next is not None:
            self.next.previous = self.previous

    def restore(self) -> None:
        self.previous.next = self
        if self.next is not None:
            self.next.previous = self


def refute(accesses: Sequence[Access], initial: Hashable = None) -> Refutation | None:
    """None if the register is linearizable, else why not. Every written value is to be unique.

    A write of unknown outcome that nobody read need not have happened, so it is left out; one that was read
    has no end. Calls that touch at one moment count as overlapping.
    """
    accesses = _that_count(accesses)
    head = _listed(accesses)
    unread = Counter(access.value for access in accesses if not access.write)
    met: set[tuple[int, Hashable]] = set()
    done, value = 0, initial
    # Each step back to: what was ordered, and the value before it.
    steps: list[tuple[_Entry, Hashable]] = []
    longest: Refutation | None = None
    entry = head.next
    while head.next is not None:
        assert entry is not None
        access = entry.access
        if entry.end is not None:
            if not unread[value] if access.write else access.value == value:
                after = (done | entry.bit, access.value)
                if after not in met:
                    met.add(after)
                    steps.append((entry, value))
                    done, value = after
                    unread[value] -= not access.write
                    entry.remove()
                    entry.end.remove()
                    entry = head.next
                    continue
            entry = entry.next
            continue
        # This one ended here at the latest, and could not be ordered: the last choice was wrong.
        if longest is None or len(steps) > len(longest.ordered):
            to_come = (
                [one for one in accesses if not one.write and one.value == value] if unread[value] else [None]
            )
            longest = Refutation(tuple(step.access for step, _ in steps), value, access, to_come[-1])
        if not steps:
            return longest
        entry, before = steps.pop()
        unread[value] += not entry.access.write
        value = before
        done &= ~entry.bit
        assert entry.end is not None
        entry.end.restore()
        entry.restore()
        entry = entry.next
    return None


def _that_count(accesses: Sequence[Access]) -> list[Access]:
    seen = {access.value for access in accesses if not access.write}
    known = [access for access in accesses if access.returned is not None or access.value in seen]
    return sorted(known, key=lambda access: access.invoked)


def _listed(accesses: Sequence[Access]) -> _Entry:
    ordered: list[tuple[float, int, _Entry]] = []
    for number, access in enumerate(accesses):
        end = _Entry(access, 1 << number, None)
        begin = _Entry(access, 1 << number, end)
        returned = float("inf") if access.returned is None else access.returned
        ordered += [(access.invoked, 0, begin), (returned, 1, end)]
    ordered.sort(key=lambda item: item[:2])
    head = last = _Entry(Access(True, None, 0, 0), 0, None)
    for _, _, entry in ordered:
        last.next = entry
        entry.previous = last
        last = entry
    return head
