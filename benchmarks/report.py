"""The figures as plain text tables; pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from benchmarks.harness import APPLIED, CommandEntry, Entry, Results
from benchmarks.suite import Aim

NOT_MEASURED = "not measured"


def rates_table(
    title: str, entries: Sequence[Entry], base: str, base_name: str, results: Results
) -> list[str]:
    """Median, lowest and highest rate of each entry, and its median ratio to the entry `base`."""
    lines: list[tuple[str, ...]] = [("", "callers", "median", "lowest", "highest", f"/ {base_name}")]
    for entry in entries:
        callers = str(entry.callers) if isinstance(entry, CommandEntry) else "1"
        if entry.key in results.rates:
            lines.append(_rates_line(entry.label, callers, entry.key, base, results))
        if entry.key + APPLIED in results.rates:
            label = "    until every replica has applied"
            lines.append(_rates_line(label, callers, entry.key + APPLIED, base, results))
        if entry.key in results.missing:
            lines.append((entry.label, callers, "-", "-", "-", ""))
    reasons = [
        f"  {entry.label}: {results.missing[entry.key]}" for entry in entries if entry.key in results.missing
    ]
    return [title, *_table(lines), *reasons]


def _rates_line(label: str, callers: str, key: str, base: str, results: Results) -> tuple[str, ...]:
    rates = results.rates[key].values()
    ratio = median_ratio(key, base, results)
    return (
        label,
        callers,
        f"{statistics.median(rates):,.0f}",
        f"{min(rates):,.0f}",
        f"{max(rates):,.0f}",
        "" if ratio is None else f"{ratio:.2f}",
    )


def aims_table(aims: Iterable[Aim], results: Results) -> list[str]:
    lines = [("Aims", "ratio", "aim", "")]
    for aim in aims:
        ratio = median_ratio(aim.one, aim.other, results)
        if ratio is None:
            lines.append((aim.text, NOT_MEASURED, f"{aim.times:.1f}", ""))
        else:
            verdict = "met" if ratio >= aim.times else "not met"
            lines.append((aim.text, f"{ratio:.2f}", f"{aim.times:.1f}", verdict))
    return _table(lines)


def median_ratio(one: str, other: str, results: Results) -> float | None:
    """The median over the rounds of the ratio within a round: what drifts between rounds cancels out."""
    first, second = results.rates.get(one, {}), results.rates.get(other, {})
    ratios = [rate / second[number] for number, rate in first.items() if number in second]
    return statistics.median(ratios) if ratios else None


def promises(entries: Iterable[Entry], results: Results) -> list[str]:
    """What each peer was asked to keep, once each, in the tables' order."""
    found: dict[str, str] = {}
    for entry in entries:
        text = results.promises.get(entry.key)
        if text is not None:
            found.setdefault(text, entry.label.partition(":")[0])
    return [f"  {name}: {text}." for text, name in found.items()]


def _table(lines: Sequence[tuple[str, ...]]) -> list[str]:
    """The first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rendered = []
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=True)]
        rendered.append("  " + "  ".join(cells).rstrip())
    return rendered
