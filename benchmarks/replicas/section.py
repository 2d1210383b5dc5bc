"""What replicas cost as a part of the report: one beside three, and what threads do for a command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.onewriter import REPLICAS
from benchmarks.progress import show_progress
from benchmarks.ratios import range_of, ratio_of
from benchmarks.replicas.bank import ACCOUNTS, EACH
from benchmarks.replicas.measure import (
    IN_MEMORY,
    NUMBERS,
    SETUPS,
    ByReplicas,
    Peak,
    catching_up,
    folder_in_memory,
    peak_memory,
    processor_time,
    rates,
)
from benchmarks.replicas.sending import TITLES
from benchmarks.replicas.threads import Threads, countable, grouped, measure_threads
from benchmarks.report import spread
from benchmarks.section import Section

RATE = 100_000 / 60
"""Commands a second while memory is looked at."""

MEBIBYTE = 1 << 20
SEEN = 0.1
"""Wake-ups a command from which on a thread has a line."""

TEXT = """
A bank of {accounts:,} accounts, one table with two indexes, {three} replicas in threads of the process beside
one, in turn. A command's processor time is that of all threads of the process until every replica has applied
it, measured {place}. Catching up is opening a store of {events:,} events, {each} of each account, whose
replicas were removed, until all have them. Memory is the most that was seen of the anonymous memory
(`RssAnon`) of a process of its own, which took {rate:,.0f} commands a minute for {seconds:g} seconds.
"""
THERE = "in {folder}, where nothing waits for a disk"
NOT_THERE = "in the folder of the other figures, since {folder} is not there or has no room"

RATES_TEXT = """
The same bank on the disk, one caller, until every replica has applied all: what the default costs beside
other ways of running. Each measurement has a new store.
"""

THREADS_TEXT = """
What one command of one caller has each thread do, with {three} replicas on the disk: while that caller
executes in a loop, and alone on an idle system. A wake-up is a voluntary context switch: the thread waited,
for a message, for the interpreter or for the disk, and went on. Of the idle system, what the same threads do
in as much time without a command is taken off.
"""


@dataclass(frozen=True)
class Found:
    """All that was measured, and how much was asked for; no threads where the system does not say."""

    events: int
    seconds: float
    in_memory: bool
    processor: Mapping[str, ByReplicas]
    catching_up: ByReplicas
    memory: Mapping[int, Peak]
    rates: Mapping[str, Mapping[str, Mapping[int, float]]]
    threads: Threads | None


def section(
    folder: Path,
    *,
    quick: bool,
    rounds: int | None = None,
    commands: int | None = None,
    events: int | None = None,
    seconds: float | None = None,
) -> Section:
    """Measured in `folder`, which is empty: some ten minutes, most of them for memory."""
    rounds = rounds or (1 if quick else 5)
    fewer = min(rounds, 3)
    commands = commands or (500 if quick else 10_000)
    events = events or (5_000 if quick else 1_000_000)
    seconds = seconds or (0.5 if quick else 60.0)
    with folder_in_memory(folder) as memory:
        in_memory = memory.is_relative_to(IN_MEMORY)
        processor = processor_time(memory, rounds, commands, show_progress)
    threads = None
    if countable():
        show_progress("what threads do")
        threads = measure_threads(folder / "threads", REPLICAS, commands // 5, 3 if quick else 50)
    return section_of(
        Found(
            events,
            seconds,
            in_memory,
            processor,
            catching_up(folder / "log", fewer, events, show_progress),
            peak_memory(folder, fewer, RATE, seconds, show_progress),
            rates(folder, fewer, commands, show_progress),
            threads,
        )
    )


def section_of(found: Found) -> Section:
    """What was found, as a section; pure."""
    rows: list[tuple[str, ...]] = []
    figures: dict[str, float] = {}

    def compare(
        text: str, key: str, name: str, by: Mapping[int, Mapping[int, float]], show: Callable[[float], str]
    ) -> None:
        """A line, and figures such as "replicas/submit/3/cpu_seconds" and "replicas/submit/cpu_ratio"."""
        ratio = ratio_of(by[NUMBERS[1]], by[NUMBERS[0]])
        if ratio is None:
            rows.append((text, *("-" for _ in NUMBERS), "not measured"))
            return
        cells = []
        for number in NUMBERS:
            values = range_of(by[number].values())
            figures.update(values.figures(f"replicas/{key}/{number}/{name}"))
            cells.append(show(values.median))
        figures.update(ratio.figures(f"replicas/{key}/{name.partition('_')[0]}_ratio"))
        rows.append((text, *cells, spread(ratio)))

    for way, by_way in found.processor.items():
        compare(f"{TITLES[way]}, us of processor time", way, "cpu_seconds", _cpu(by_way), _microseconds)
    text, both = f"catching up with {found.events:,} events, s", found.catching_up
    compare(f"{text} of processor time", "catching_up", "cpu_seconds", _cpu(both), "{:.2f}".format)
    compare(f"{text} by the clock", "catching_up", "wall_seconds", _wall(both), "{:.2f}".format)
    most = {number: peak.bytes for number, peak in found.memory.items()}
    compare("most memory, MiB", "memory", "peak_bytes", most, _mebibytes)
    for number, peak in found.memory.items():
        reached = range_of(peak.rates.values()).median
        figures[f"replicas/memory/{number}/commands_per_second"] = reached
    place = (THERE if found.in_memory else NOT_THERE).format(folder=IN_MEMORY)
    subsections = [_rates(found.rates, figures)]
    if found.threads is not None:
        subsections.append(_threads(grouped(found.threads), figures))
    return Section(
        title="What replicas cost",
        text=TEXT.format(
            accounts=ACCOUNTS,
            three=NUMBERS[-1],
            place=place,
            events=found.events,
            each=EACH,
            rate=RATE * 60,
            seconds=found.seconds,
        ).strip(),
        header=("", *(f"{number} replica{'s' if number > 1 else ''}" for number in NUMBERS), "ratio"),
        rows=rows,
        figures=figures,
        subsections=subsections,
    )


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.1f}"


def _mebibytes(size: float) -> str:
    return f"{size / MEBIBYTE:.1f}"


def _cpu(by_replicas: ByReplicas) -> dict[int, dict[int, float]]:
    return {
        number: {turn: used.cpu for turn, used in rounds.items()} for number, rounds in by_replicas.items()
    }


def _wall(by_replicas: ByReplicas) -> dict[int, dict[int, float]]:
    return {
        number: {turn: used.wall for turn, used in rounds.items()} for number, rounds in by_replicas.items()
    }


def _rates(found: Mapping[str, Mapping[str, Mapping[int, float]]], figures: dict[str, float]) -> Section:
    rows = []
    for key, by_way in found.items():
        cells = []
        for way, by_round in by_way.items():
            values = range_of(by_round.values())
            figures |= values.figures(f"replicas/rates/{key}/{way}_per_second")
            cells.append(f"{values.median:,.0f}")
        rows.append((SETUPS[key].name, *cells))
    return Section("Commands a second, applied", RATES_TEXT.strip(), ("replicas", *TITLES.values()), rows)


def _threads(found: Threads, figures: dict[str, float]) -> Section:
    rows = []
    for name in found.looping | found.idle:
        pair = [by_name.get(name) for by_name in (found.looping, found.idle)]
        if not any(use is not None and use.wakes >= SEEN for use in pair):
            continue
        cells = []
        for when, use in zip(("looping", "idle"), pair, strict=True):
            if use is None:
                cells += ["-", "-", "-"]
                continue
            key = f"replicas/threads/{when}/{name.replace(', ', '_').replace(' ', '_')}"
            figures |= {f"{key}/wakes": use.wakes, f"{key}/cpu_seconds": use.cpu}
            cells += [f"{use.wakes:.2f}", f"{use.preempted:.2f}", f"{use.cpu * 1e6:.1f}"]
        rows.append((name, *cells))
    columns = ("wakes", "preempted", "us of processor time")
    header = ("thread", *(f"{column}, {when}" for when in ("in a loop", "alone") for column in columns))
    return Section(
        "What threads do for a command", THREADS_TEXT.format(three=NUMBERS[-1]).strip(), header, rows
    )
