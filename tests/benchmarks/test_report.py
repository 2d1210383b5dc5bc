from __future__ import annotations

from benchmarks.aims import AIMS, DEFAULT, Aim, Judged, judged
from benchmarks.harness import APPLIED, CommandEntry, Results
from benchmarks.ratios import Range, range_at, range_of, ratio_key, ratio_of
from benchmarks.report import (
    aims_table,
    promises,
    rates_figures,
    rates_rows,
    report_page,
    section_page,
)
from benchmarks.section import Section
from benchmarks.suite import CARRIED, COMMANDS, QUERIES, RANGES, SUMS


def unused() -> None:
    raise AssertionError("the report makes no peer")


def results_of(**rates: list[float]) -> Results:
    results = Results()
    for key, values in rates.items():
        for round_number, rate in enumerate(values):
            results.add(key, round_number, rate)
    return results


def test_ratios_are_taken_within_a_round_so_that_a_drifting_machine_cancels_out() -> None:
    results = results_of(fast=[200.0, 30.0, 2_000.0], slow=[100.0, 10.0, 1_000.0])
    assert ratio_of(results.rates["fast"], results.rates["slow"]) == Range(2.0, 2.0, 3.0)


def test_a_round_that_only_one_of_the_two_finished_counts_for_neither() -> None:
    assert ratio_of({0: 50.0, 1: 900.0}, {0: 100.0}) == Range(0.5, 0.5, 0.5)
    assert ratio_of({0: 50.0}, {}) is None


def test_a_spread_can_be_read_back_from_its_figures() -> None:
    spread = range_of([3.0, 1.0, 2.0])
    assert range_at("a", spread.figures("a")) == spread == Range(2.0, 1.0, 3.0)
    assert range_at("a", {"a": 4.0}) == Range(4.0, 4.0, 4.0)
    assert range_at("a", {}) is None


def test_the_best_of_the_candidates_is_held_against_an_aim() -> None:
    faster = Aim("a", {"threads": "x", "processes": "y", "neither": "z"}, 0.5)
    shorter = Aim("b", {"threads": "x", "processes": "y"}, 0.3, at_most=True)
    absent = Aim("c", {"": "z"}, 1.0)
    beside = Aim("d", {"": "x"})
    found = judged([faster, shorter, absent, beside], {"x": 0.4, "y": 0.6})
    assert [(one.name, one.met) for one in found] == [
        ("processes", True),
        ("threads", False),
        ("", None),
        ("", None),
    ]


def test_the_aims_table_says_met_not_met_and_not_measured() -> None:
    found = [
        Judged(Aim("a", {}, 0.5), "threads", Range(0.5, 0.4, 0.6)),
        Judged(Aim("b", {}, 3.0, at_most=True), "", Range(3.1, 3.0, 3.2)),
        Judged(Aim("c", {}, 1.0)),
        Judged(Aim("d", {}), "", Range(9.0, 9.0, 9.0)),
    ]
    assert aims_table(found).splitlines()[2:] == [
        "| a (threads) | 0.50 (0.40 to 0.60) | at least 0.5 | met |",
        "| b | 3.10 (3.00 to 3.20) | at most 3 | **not met** |",
        "| c | not measured | at least 1 |  |",
        "| d | 9.00 (9.00 to 9.00) |  |  |",
    ]


def test_the_rates_show_median_lowest_highest_and_what_is_missing_with_its_reason() -> None:
    entries = [CommandEntry("one", "first", unused, 64), CommandEntry("two", "second", unused)]
    results = results_of(one=[1_000.0, 3_000.0, 2_000.0], base=[500.0, 1_500.0, 1_000.0])
    results.add("one" + APPLIED, 0, 250.0)
    results.missing["two"] = "not installed"
    assert rates_rows(entries, "base", results) == [
        ("first", "64", "2,000", "1,000", "3,000", "2.00 (2.00 to 2.00)"),
        ("… until all have applied", "64", "250", "250", "250", "0.50 (0.50 to 0.50)"),
        ("second", "1", "-", "-", "-", "not installed"),
    ]


def test_the_figures_have_every_rate_and_the_ratios_that_an_aim_is_about() -> None:
    results = results_of(one=[10.0, 30.0], other=[10.0, 10.0])
    figures = rates_figures(results, [Aim("a", {"": ratio_key("one", "other")}, 1.0)])
    assert figures == {
        "one": 20.0,
        "one/lowest": 10.0,
        "one/highest": 30.0,
        "other": 10.0,
        "other/lowest": 10.0,
        "other/highest": 10.0,
        "one : other": 2.0,
        "one : other/lowest": 1.0,
        "one : other/highest": 3.0,
    }


def test_what_a_peer_keeps_is_told_once() -> None:
    entries = [CommandEntry("one", "peer: so", unused), CommandEntry("two", "peer: otherwise", unused)]
    results = Results(promises={"one": "an fsync a command", "two": "an fsync a command"})
    assert promises(entries, results) == ["- peer: an fsync a command."]


def test_a_section_has_its_text_its_table_and_its_plots() -> None:
    section = Section("Rates", "\nWhat was done.\n", ("", "rate"), [("one", "2")])
    assert section_page(section, ["rates.svg"]) == (
        "## Rates\n\nWhat was done.\n\n|  | rate |\n| --- | ---: |\n| one | 2 |\n\n![Rates](rates.svg)"
    )


def test_subsections_come_last_and_one_level_deeper() -> None:
    part = Section("Part", "Some.", ("", "rate"), [("one", "2")])
    section = Section("Rates", "Text.", (), [], subsections=[part])
    assert section_page(section, ["rates.svg"]) == (
        "## Rates\n\nText.\n\n![Rates](rates.svg)\n\n"
        "### Part\n\nSome.\n\n|  | rate |\n| --- | ---: |\n| one | 2 |"
    )


def test_what_the_default_reaches_comes_before_the_best_of_several_ways() -> None:
    default = [list(aim.candidates) == [DEFAULT] for aim in AIMS]
    assert default == sorted(default, reverse=True)
    assert all(aim.bound is not None for aim, one in zip(AIMS, default, strict=True) if one)


def test_the_report_counts_the_aims_that_were_measured() -> None:
    aims = [
        Judged(Aim("a", {}, 0.5), "", Range(0.6, 0.6, 0.6)),
        Judged(Aim("b", {}, 0.5)),
        Judged(Aim("c", {}), "", Range(1.0, 1.0, 1.0)),
    ]
    page = report_page({"disk": "fast"}, aims, ["## Rates", "## Lag"], 90.0)
    assert "| disk | fast |" in page
    assert "1 of 1 aims that were measured are met." in page
    assert page.endswith("## Rates\n\n## Lag\n")
    assert "figures mean nothing" not in page
    assert "figures mean nothing" in report_page({}, aims, [], 1.0, quick=True)


def test_every_aim_is_about_entries_that_are_measured() -> None:
    keys = {entry.key for entry in (*COMMANDS, *QUERIES, *RANGES, *SUMS, *CARRIED)}
    for aim in AIMS:
        for candidate in aim.candidates.values():
            one, _, other = candidate.partition(" : ")
            if other:
                assert one.removesuffix(APPLIED) in keys
                assert other.removesuffix(APPLIED) in keys
