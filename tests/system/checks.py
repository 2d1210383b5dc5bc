"""What has to be true of every store, whatever happened to it: checked from the log and from each replica.

The tables are folded here by hand, from the log alone: nothing is shared with the projections.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from actors import RecordedEvent, System
from tests.system.depot import MODELS, Incremented, OrderPlaced, Reserved, Stocked

Tables = dict[str, dict[str, list[dict[str, Any]]]]


def read_log(system: System) -> list[RecordedEvent]:
    """Every event that is committed now."""
    head = system.position
    return list(system.subscribe(until=head)) if head else []


def check_log(events: Sequence[RecordedEvent]) -> None:
    """Positions and stream versions have no gap, and each command's events are whole and together."""
    versions: dict[str, int] = {}
    for position, recorded in enumerate(events, 1):
        assert recorded.position == position
        versions[recorded.stream] = versions.get(recorded.stream, 0) + 1
        assert recorded.version == versions[recorded.stream], recorded
    met: set[str] = set()
    for command_id, group in groupby(events, key=lambda recorded: recorded.command_id):
        assert command_id not in met, f"the events of {command_id} are in two places, or twice"
        met.add(command_id)
        together = list(group)
        if together[0].command is not None:
            check_whole([recorded.event for recorded in together])


def check_whole(events: Sequence[Any]) -> None:
    """These are all the events that one command of the depot gives."""
    first, *rest = events
    if isinstance(first, OrderPlaced):
        assert rest == [Reserved(line.sku, first.order, line.amount) for line in first.lines]
    else:
        assert isinstance(first, Stocked | Incremented)
        assert not rest


def fold(events: Sequence[RecordedEvent]) -> Tables:
    """All tables of all models, by model and table name, as the log says they are."""
    stock: dict[str, int] = {}
    orders: dict[str, int] = {}
    totals: dict[str, int] = {}
    for recorded in events:
        match recorded.event:
            case Stocked(sku=sku, amount=amount):
                stock[sku] = stock.get(sku, 0) + amount
            case Reserved(sku=sku, amount=amount):
                stock[sku] -= amount
                assert stock[sku] >= 0, f"more of {sku} is reserved than there was, at {recorded.position}"
            case OrderPlaced(order=order, lines=lines):
                assert order not in orders, f"order {order} is placed twice"
                orders[order] = len(lines)
            case Incremented(name=name, by=by):
                totals[name] = totals.get(name, 0) + by
    return {
        "shelves": {
            "items": [{"sku": sku, "stock": left} for sku, left in sorted(stock.items())],
            "orders": [{"order": order, "lines": lines} for order, lines in sorted(orders.items())],
        },
        "tally": {"counters": [{"name": name, "total": total} for name, total in sorted(totals.items())]},
        "journal": {
            "entries": [
                {"position": recorded.position, "stream": recorded.stream, "version": recorded.version}
                for recorded in events
            ]
        },
    }


def check_replicas(system: System, events: Sequence[RecordedEvent], timeout: float = 30.0) -> None:
    """Every table of every replica equals the one folded from these events, which are all there are."""
    system.wait_applied(timeout=timeout)
    expected = fold(events)
    for replica in system.replica_names:
        for model in MODELS:
            assert system.dump(replica, model) == expected[model.name], (replica, model.name)


def check_all(system: System) -> list[RecordedEvent]:
    """The log is sound and the replicas agree with it; returns the log."""
    events = read_log(system)
    check_log(events)
    check_replicas(system, events)
    return events


def check_receipt(receipt: Any, events: Sequence[RecordedEvent]) -> None:
    """A receipt says of its command what the log says."""
    if not receipt.first:
        assert receipt[1:3] == (0, 0)
        assert not receipt.events
        assert not receipt.versions
        return
    written = events[receipt.first - 1 : receipt.last]
    assert {recorded.command_id for recorded in written} == {receipt.command_id}
    for beside in (receipt.first - 2, receipt.last):
        assert not 0 <= beside < len(events) or events[beside].command_id != receipt.command_id
    assert receipt.position == receipt.last
    assert tuple(receipt.events) == tuple(recorded.event for recorded in written)
    assert dict(receipt.versions) == {recorded.stream: recorded.version for recorded in written}
    assert receipt.version == receipt.versions.get(receipt.stream, receipt.version)
