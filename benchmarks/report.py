"""The report as Markdown; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.aims import Aim, Judged
from benchmarks.harness import APPLIED, CommandEntry, Entry, Results
from benchmarks.machine import markdown
from benchmarks.ratios import Range, range_of, ratio_key, ratio_of
from benchmarks.section import Section

NOT_MEASURED = "not measured"
VERDICTS = {True: "met", False: "**not met**", None: ""}


def rates_rows(entries: Sequence[Entry], base: str, results: Results) -> list[tuple[str, ...]]:
    """Median, lowest and highest rate of each entry, and its ratio to the entry `base` with its spread."""
    rows = []
    for entry in entries:
        callers = f"{entry.callers:,}" if isinstance(entry, CommandEntry) else "1"
        if entry.key in results.rates:
            rows.append(_rates_row(entry.label, callers, entry.key, base, results))
        if entry.key + APPLIED in results.rates:
            rows.append(_rates_row("… until all have applied", callers, entry.key + APPLIED, base, results))
        if entry.key in results.missing:
            rows.append((entry.label, callers, "-", "-", "-", results.missing[entry.key]))
    return rows


def _rates_row(label: str, callers: str, key: str, base: str, results: Results) -> tuple[str, ...]:
    rates = range_of(results.rates[key].values())
    ratio = ratio_of(results.rates[key], results.rates.get(base, {}))
    return (
        label,
        callers,
        *(f"{rate:,.0f}" for rate in (rates.median, rates.lowest, rates.highest)),
        "" if ratio is None else spread(ratio),
    )


def spread(one: Range) -> str:
    """A figure with what it spreads over."""
    return f"{one.median:.2f} ({one.lowest:.2f} to {one.highest:.2f})"


def rates_figures(results: Results, aims: Iterable[Aim]) -> dict[str, float]:
    """The rates with their spread, and the ratios that the aims are about."""
    figures: dict[str, float] = {}
    for key, rates in results.rates.items():
        figures |= range_of(rates.values()).figures(key)
    wanted = {key for aim in aims for key in aim.candidates.values()}
    for one in results.rates:
        for other in results.rates:
            key = ratio_key(one, other)
            if key in wanted:
                ratio = ratio_of(results.rates[one], results.rates[other])
                figures |= {} if ratio is None else ratio.figures(key)
    return figures


def promises(entries: Iterable[Entry], results: Results) -> list[str]:
    """What each peer was asked to keep, once each, in the tables' order."""
    found: dict[str, str] = {}
    for entry in entries:
        text = results.promises.get(entry.key)
        if text is not None:
            found.setdefault(text, entry.label.partition(":")[0])
    return [f"- {name}: {text}." for text, name in found.items()]


def aims_table(found: Iterable[Judged]) -> str:
    """Markdown: each aim with its best figure, the spread of it and whether it was met."""
    rows = []
    for one in found:
        aim = one.aim
        limit = "" if aim.bound is None else f"{'at most' if aim.at_most else 'at least'} {aim.bound:g}"
        text = f"{aim.text} ({one.name})" if one.name else aim.text
        figure = NOT_MEASURED if one.found is None else spread(one.found)
        rows.append([text, figure, limit, VERDICTS[one.met]])
    return markdown(["aim", "ratio", "bound", ""], rows)


def section_page(section: Section, plots: Iterable[str] = (), level: int = 2) -> str:
    """A section as Markdown, with the plots of these file names; headings begin at `level`."""
    parts = [f"{'#' * level} {section.title}", section.text.strip()]
    if section.rows:
        parts.append(markdown(list(section.header), [list(row) for row in section.rows]))
    parts += [f"![{section.title}]({name})" for name in plots]
    parts += [section_page(one, level=level + 1) for one in section.subsections]
    return "\n\n".join(part for part in parts if part)


def report_page(
    environment: Mapping[str, str],
    aims: Sequence[Judged],
    pages: Iterable[str],
    seconds: float,
    *,
    quick: bool = False,
) -> str:
    """The whole report; a `quick` one says of itself that its figures mean nothing."""
    warning = "**A quick run: all was measured once and small, so the figures mean nothing.**"
    judged = [one.met for one in aims if one.met is not None]
    counted = f"{sum(judged)} of {len(judged)} aims that were measured are met." if judged else ""
    return (
        "\n\n".join(
            part
            for part in (
                "# Benchmarks of onewriter",
                markdown(["environment", ""], [[name, value] for name, value in environment.items()]),
                f"Measured in {seconds / 60:.0f} minutes. Only figures of one run say anything about "
                "one another: machines drift, and ratios are taken within a round, then the median of them "
                "over the rounds, with the lowest and the highest in brackets.",
                warning if quick else "",
                "## Aims",
                "*The default* is a system that is opened without options: three replicas in threads, on all "
                "cores. It comes first, since it is what a program gets. Below that, the best of several "
                "ways of running is taken and named.",
                aims_table(aims),
                counted,
                *pages,
            )
            if part
        )
        + "\n"
    )
