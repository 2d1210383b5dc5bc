"""`python -m benchmarks.quick`: the key figures as ratios to the bare loop, and what changed.

It never fails for being slow, unless --fail-below says so.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.baseline import BETTER, SAME, WORSE, Baseline, Compared, below, compared
from benchmarks.harness import APPLIED
from benchmarks.machine import environment, markdown
from benchmarks.quick.measure import AMOUNTS, ENTRIES, SMALL, YARDSTICKS, measure
from benchmarks.ratios import range_of
from benchmarks.report import spread

KEPT = Path(__file__).parents[1] / "baseline.json"
ROUNDS = 7
SECONDS = 120.0
"""A machine that is busy gets fewer rounds, not more minutes."""
KEYS = [key for held in YARDSTICKS.values() for key in held]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    then = _baseline(options.baseline)
    keys = [key for key in KEYS if not options.only or any(part in key for part in options.only)]
    if not keys:
        raise SystemExit(f"no figure is named like {' or '.join(options.only)}; there are {', '.join(KEYS)}")
    share = SMALL if options.small else 1.0
    rounds = options.rounds or (1 if options.small else ROUNDS)
    seconds = None if options.rounds else SECONDS
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.dir) as name:
        folder = Path(name).resolve()
        found_on = environment(folder)
        print(*found_on.values(), sep="\n", flush=True)
        found = measure(keys, folder=folder, rounds=rounds, seconds=seconds, share=share)

    amounts = {key: int(amount * share) for key, amount in AMOUNTS.items()}
    now = Baseline(found_on, {"amounts": amounts}, found.ratios)
    results = compared(now.ratios, then.ratios if then else {})
    print("", comparison_table(results, found.rates), "", sep="\n")
    print("Ratios to the bare loop doing the same kind of work just before and after; brackets: the spread.")
    if then:
        print(f"Baseline of {then.environment.get('versions', 'another machine')}.")
        if then.settings.get("amounts") != amounts:
            print("It was made with other amounts: ratios differ for that alone.")
        verdicts = [one.verdict for one in results]
        print(*(f"{verdict}: {verdicts.count(verdict)}" for verdict in (BETTER, SAME, WORSE)), sep=", ")
    print(*(f"{key}: {reason}" for key, reason in found.missing.items()), sep="\n")
    done = max(map(len, found.ratios.values()), default=0)
    print(f"Rounds: {done}, in {time.perf_counter() - started:.0f} s")
    if options.save:
        now.save(Path(options.save))
        print(f"Saved as {options.save}")
    return _exit_code(results, options.fail_below, found.missing)


def _exit_code(results: Sequence[Compared], share: float | None, missing: Mapping[str, str]) -> int:
    slow = below(results, share) if share is not None else []
    for one in slow:
        print(f"{one.key} is {one.change:.2f} of its baseline, which is less than {share}")
    return 1 if slow or missing else 0


def comparison_table(results: Sequence[Compared], rates: Mapping[str, Sequence[float]]) -> str:
    """Markdown: each figure now and then, and what became of it."""
    rows = [
        [
            _label(one.key),
            f"{range_of(rates[one.key]).median:,.0f}",
            spread(range_of(one.now)),
            spread(range_of(one.then)) if one.then else "",
            "" if one.change is None else f"{(one.change - 1) * 100:+.0f} %",
            one.verdict,
        ]
        for one in results
    ]
    return markdown(["figure", "a second", "/ bare loop", "baseline", "change", ""], rows)


def _label(key: str) -> str:
    entry = ENTRIES[key.removesuffix(APPLIED)]
    callers = getattr(entry, "callers", 1)
    label = entry.label + (f", {callers:,} callers" if callers > 1 else "")
    return f"{label}, applied" if key.endswith(APPLIED) else label


def _baseline(given: str | None) -> Baseline | None:
    if given is not None:
        return Baseline.load(Path(given))
    return Baseline.load(KEPT) if KEPT.exists() else None


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quick", description=__doc__)
    parser.add_argument("--save", metavar="FILE", help="keep what was found as a baseline")
    parser.add_argument(
        "--baseline", metavar="FILE", help="compare with this one (default: benchmarks/baseline.json)"
    )
    parser.add_argument(
        "--fail-below",
        type=float,
        metavar="RATIO",
        help="fail if a figure is worse than noise and this share of what it was",
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="PART", help="figures with this in their name"
    )
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="more on a noisy machine (default: up to 7, in two minutes)"
    )
    parser.add_argument("--small", action="store_true", help="one tiny round: does everything run?")
    parser.add_argument("--dir", default=".", metavar="PATH", help="a folder on the disk to measure")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
