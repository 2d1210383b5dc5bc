from __future__ import annotations

from benchmarks.harness import APPLIED, CommandEntry, Results
from benchmarks.report import aims_table, median_ratio, promises, rates_table
from benchmarks.suite import AIMS, COMMANDS, QUERIES, RANGES, Aim


def unused() -> None:
    raise AssertionError("the report makes no peer")


def results_of(**rates: list[float]) -> Results:
    results = Results()
    for key, values in rates.items():
        for round_number, rate in enumerate(values):
            results.add(key, round_number, rate)
    return results


def test_ratios_are_taken_within_a_round_so_that_a_drifting_machine_cancels_out() -> None:
    results = results_of(fast=[200.0, 20.0, 2_000.0], slow=[100.0, 10.0, 1_000.0])
    assert median_ratio("fast", "slow", results) == 2.0


def test_a_round_that_only_one_of_the_two_finished_counts_for_neither() -> None:
    results = results_of(one=[50.0, 900.0], other=[100.0])
    assert median_ratio("one", "other", results) == 0.5
    assert median_ratio("one", "absent", results) is None


def test_the_aims_table_says_met_not_met_and_not_measured() -> None:
    results = results_of(one=[50.0], other=[100.0])
    aims = [Aim("a", "one", "other", 0.5), Aim("b", "one", "other", 0.6), Aim("c", "one", "absent", 1.0)]
    lines = [line.split() for line in aims_table(aims, results)]
    assert lines[1:] == [
        ["a", "0.50", "0.5", "met"],
        ["b", "0.50", "0.6", "not", "met"],
        ["c", "not", "measured", "1.0"],
    ]


def test_the_rates_table_shows_median_lowest_highest_and_what_is_missing_with_its_reason() -> None:
    entries = [CommandEntry("one", "first", unused, 64), CommandEntry("two", "second", unused)]
    results = results_of(one=[1_000.0, 3_000.0, 2_000.0], base=[500.0, 1_500.0, 1_000.0])
    results.add("one" + APPLIED, 0, 250.0)
    results.missing["two"] = "not installed"
    lines = rates_table("Title", entries, "base", "base", results)
    assert lines[0] == "Title"
    assert [line.split() for line in lines[2:]] == [
        ["first", "64", "2,000", "1,000", "3,000", "2.00"],
        ["until", "every", "replica", "has", "applied", "64", "250", "250", "250", "0.50"],
        ["second", "1", "-", "-", "-"],
        ["second:", "not", "installed"],
    ]


def test_what_a_peer_keeps_is_told_once() -> None:
    entries = [CommandEntry("one", "peer: so", unused), CommandEntry("two", "peer: otherwise", unused)]
    results = Results(promises={"one": "an fsync a command", "two": "an fsync a command"})
    assert promises(entries, results) == ["  peer: an fsync a command."]


def test_every_aim_names_entries_that_are_measured() -> None:
    keys = {entry.key for entry in (*COMMANDS, *QUERIES, *RANGES)}
    for aim in AIMS:
        assert aim.one.removesuffix(APPLIED) in keys
        assert aim.other in keys
