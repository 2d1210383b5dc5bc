from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from benchmarks.mixes.client import MixPeer
from benchmarks.mixes.domain import FIELDS, WIDTH
from benchmarks.mixes.latest import Latest
from benchmarks.mixes.measure import CALLERS, peers
from benchmarks.mixes.run import run
from benchmarks.mixes.section import section
from benchmarks.mixes.workloads import WORKLOADS, Chooser, Kind, Workload, fields_of, first_records

RECORDS = 100
BY_NAME = {workload.name: workload for workload in WORKLOADS}


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_each_workload_has_its_share_of_writes(workload: Workload) -> None:

    kinds = Counter(kind for kind, _, _ in Chooser(RECORDS).operations(workload, 20_000, seed=1))
    assert kinds[workload.write] / 20_000 == pytest.approx(workload.writes, abs=0.01)
    assert (
        kinds[Kind.READ_LATEST if workload.write is Kind.INSERT else Kind.READ]
        == 20_000 - kinds[workload.write]
    )


def test_all_peers_get_the_same_operations_but_new_records_are_new_each_time() -> None:
    chooser = Chooser(RECORDS)
    assert chooser.operations(BY_NAME["a"], 500, seed=1) == chooser.operations(BY_NAME["a"], 500, seed=1)
    assert chooser.operations(BY_NAME["a"], 500, seed=1) != chooser.operations(BY_NAME["a"], 500, seed=2)
    one, other = (chooser.operations(BY_NAME["d"], 500, seed=1) for _ in range(2))
    inserted = [{key for kind, key, _ in each if kind is Kind.INSERT} for each in (one, other)]
    assert inserted[0].isdisjoint(inserted[1])
    assert not (inserted[0] | inserted[1]) & set(chooser.keys)
    assert [key for kind, key, _ in one if kind is Kind.READ_LATEST] == [
        key for kind, key, _ in other if kind is Kind.READ_LATEST
    ]


def test_some_records_are_asked_for_far_more_often_than_others() -> None:
    asked = Counter(key for _, key, _ in Chooser(1_000).operations(BY_NAME["c"], 50_000, seed=1))
    (_, first), (_, second) = asked.most_common(2)
    assert first > 1.5 * second > 50_000 / 1_000 * 20


def test_fields_are_digits_of_one_width() -> None:
    fields = fields_of(Random(1))
    assert len(fields) == len(set(fields)) == len(FIELDS)
    assert all(len(field) == WIDTH and field.isdecimal() for field in fields)


def test_the_latest_record_is_the_last_one_before_which_all_are_acknowledged() -> None:
    latest = Latest(["first", "second"], ["third", "fourth", "fifth"])
    assert [latest.key(rank) for rank in (0, 1, 2, 9)] == ["second", "first", "first", "first"]
    latest.acknowledged(1)
    assert latest.key(0) == "second"
    latest.acknowledged(0)
    assert [latest.key(rank) for rank in (0, 1, 2, 3)] == ["fourth", "third", "second", "first"]


@pytest.mark.parametrize("number", range(len(peers())))
def test_no_read_modify_write_is_lost_and_every_read_finds_its_record(tmp_path: Path, number: int) -> None:
    folders = [tmp_path / str(one) for one in range(number + 1)]
    chooser = Chooser(RECORDS)
    # What another one loaded may be copied.
    for folder, loaded in zip(folders, every := peers(), strict=False):
        folder.mkdir()
        loaded.load(folder, first_records(chooser.keys))
    peer = every[number]
    try:
        peer.open()
        before = _sum(peer, chooser.keys)
        for way in peer.ways:
            done = run(
                lambda way=way: peer.client(way),
                chooser.operations(BY_NAME["f"], 400, seed=2),
                chooser.keys,
                4,
                60.0,
            )
            assert len(done.reads) + len(done.writes) == 400
            assert done.missed == 0
            peer.settle()
            after = _sum(peer, chooser.keys)
            assert (after - before) % 10**WIDTH == len(done.writes)
            before = after
    finally:
        peer.close()


def _sum(peer: MixPeer, keys: list[str]) -> int:
    client = peer.client(peer.ways[-1])
    rows = [client.read(key) for key in keys]
    client.close()
    return sum(int(row[name]) for row in rows if row is not None for name in FIELDS)


def test_a_caller_that_fails_ends_the_run_with_its_error(tmp_path: Path) -> None:
    def refused() -> None:
        raise OSError("no client here")

    with pytest.raises(OSError, match="no client here"):
        run(refused, [(Kind.READ, "a", None)], ["a"], 2, 1.0)  # type: ignore[arg-type]


def test_a_small_run_has_a_line_for_every_workload_peer_and_number_of_callers_and_a_plot(
    tmp_path: Path,
) -> None:
    (tmp_path / "stores").mkdir()
    found = section(tmp_path / "stores", quick=True, records=RECORDS, seconds=0.002)
    lines = sum(len(peer.ways) for peer in peers()) * len(CALLERS) * len(WORKLOADS)
    assert len(found.rows) == lines
    assert all(len(row) == len(found.header) for row in found.rows)
    assert found.figures["ycsb/a/8/sqlite/ratio_to_sqlite3"] == 1.0
    assert found.figures["ycsb/c/1/lmdb/ops_per_second"] > 0
    pytest.importorskip("matplotlib")
    assert [(tmp_path / draw(tmp_path)).read_text()[:5] for draw in found.plots] == ["<?xml"]
