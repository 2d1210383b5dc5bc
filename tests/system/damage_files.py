"""Damages a store and a folder of backups, in one place at a time, and says whether `verify` finds it.

`python -m tests.system.damage_files --flips 500 --swaps 100 [--seed N]`. A flip changes one byte; a swap
exchanges two blocks of 4 KiB, of one file or of two. Each is looked at in processes of its own.

Of a store, `verify` has to find whatever changes a key or a value that is stored in its log or in a replica:

- found: `verify` says so
- unused: it does not, and all that is stored is as before: it was a free page, or between entries
- missed: it does not, and something that is stored is another, or can't be read; there must be none

Of a backup, `verify` has to find everything. A restore of its newest position, and one of another position,
is refused, or what it makes is what the backup had:

- refused, right: what restores did
- wrong: a restore made something else; there must be none

In both, `ended` is a process that came to its end, `hung` one that did not within two minutes, `raised` an
error that the program did not report, and `broke` one that is none of ours; there must be none of them.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import logging
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import lmdb

from actors.cli.verify import main as verify_main
from storage import EventLog, OnewriterError
from storage.backup.restore import restore_backup
from storage.backup.take_backup import take_backup
from storage.files.environment import ENGINE
from tests.storage.backup.histories import CODEC, History, contents
from tests.system.flip_bytes import bank, in_a_process, make

BLOCK = 4096
FOUND = ("found", "unused", "refused", "right")
"""The outcomes that may be; see above for the others."""


# -- damage --------------------------------------------------------------------------------------------------
class Damage:
    """Places to damage in the files below a folder, chosen at random; what was done can be undone."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        self._files = sorted(one for one in folder.rglob("*") if one.suffix in (".mdb", ".backup"))
        self._files = [one for one in self._files if one.name != "lock.mdb"]
        self._sizes = [one.stat().st_size for one in self._files]
        self._dice = dice

    def flip(self) -> tuple[str, Callable[[], None]]:
        """Change a byte; returns what was done, and what undoes it."""
        [file] = self._dice.choices(self._files, self._sizes)
        at, mask = self._dice.randrange(file.stat().st_size), self._dice.randrange(1, 256)
        before = read(file, at, 1)
        write(file, at, bytes([before[0] ^ mask]))
        return f"{file.parent.name}/{file.name} byte {at} mask {mask}", lambda: write(file, at, before)

    def swap(self) -> tuple[str, Callable[[], None]]:
        """Exchange two blocks that differ; returns what was done, and what undoes it."""
        while True:
            one, two = self._block(), self._block()
            first, second = read(*one, BLOCK), read(*two, BLOCK)
            if first != second:
                break

        def put(former: bytes, latter: bytes) -> None:
            write(*one, former)
            write(*two, latter)

        put(second, first)
        told = [f"{file.parent.name}/{file.name} {at}" for file, at in (one, two)]
        return " and ".join(told), lambda: put(first, second)

    def _block(self) -> tuple[Path, int]:
        [file] = self._dice.choices(self._files, [size // BLOCK for size in self._sizes])
        return file, BLOCK * self._dice.randrange(file.stat().st_size // BLOCK)


def read(file: Path, at: int, many: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek(at)
        return opened.read(many)


def write(file: Path, at: int, data: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(data)


# -- what is looked at ---------------------------------------------------------------------------------------
class Wanted(NamedTuple):
    """Digests of what a backup has: of its log by where a restore ends, of notes by when they were so."""

    logs: dict[int | None, str]
    notes: dict[int | None, str]


def verify(path: Path) -> int:
    """The exit code of `onewriter verify`."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return verify_main([str(path)])


def stored(store: Path) -> dict[str, str]:
    """A digest of all keys and values of every database in the LMDB files of a store."""
    found: dict[str, str] = {}
    for file in sorted(store.rglob("data.mdb")):
        with (
            closing(
                lmdb.open(str(file.parent), readonly=True, lock=False, max_dbs=64, lib_version=ENGINE)
            ) as environment,
            environment.begin() as transaction,
        ):
            for name, _ in transaction.cursor():
                digest = hashlib.blake2b()
                for key, value in transaction.cursor(environment.open_db(name, transaction, create=False)):
                    digest.update(b"%d %d " % (len(key), len(value)) + key + value)
                found[f"{file.relative_to(store)} {bytes(name).decode(errors='replace')}"] = (
                    digest.hexdigest()
                )
    return found


def outcome_of_store(store: Path, sound: dict[str, str]) -> list[str]:
    """What becomes of a damaged store."""
    how, code = in_a_process(lambda: verify(store))
    if how != "returned":
        return [how]
    if code:
        return ["found"]
    how, now = in_a_process(lambda: stored(store))
    if (how, now) == ("returned", sound):
        return ["unused"]
    what = sorted({name for name, _ in now.items() ^ sound.items()}) if how == "returned" else [how]
    return ["missed", f"in {', '.join(what)}"]


def digest_of(backups: Path, target: Path, position: int | None) -> list[Any]:
    """What is in the log that is restored of a backup: in all but its notes, in these, and when they were so.

    If an error says why it is not restored, whether something is left of it.
    """
    try:
        done = restore_backup(backups, target, position=position)
    except OnewriterError:
        return ["refused", target.exists() or list(target.parent.glob(f"{target.name}.*")) != []]
    try:
        with EventLog.open(target, CODEC) as log:
            found = contents(log)
    finally:
        shutil.rmtree(target)
    notes = found.pop("notes")
    return ["restored", digest(found), digest(notes), done.notes_position]


def digest(value: object) -> str:
    return hashlib.blake2b(repr(value).encode()).hexdigest()


def outcome_of_backups(backups: Path, target: Path, wanted: Wanted) -> list[str]:
    """What becomes of a damaged backup: that of `verify`, and of a restore to each position."""
    how, code = in_a_process(lambda: verify(backups))
    outcomes = [("found" if code else "missed") if how == "returned" else how]
    for position, sound in wanted.logs.items():
        how, answer = in_a_process(lambda position=position: digest_of(backups, target, position))
        if how != "returned":
            outcomes.append(how)
        elif answer == ["refused", False]:
            outcomes.append("refused")
        else:
            # Notes may be those of an earlier backup, as the restore says, where the newest can't be read.
            right = answer[1] == sound and answer[2] == wanted.notes.get(answer[3], digest([]))
            outcomes.append("right" if right else "wrong")
    return outcomes


# -- all of it -----------------------------------------------------------------------------------------------
def make_backups(log: Path, backups: Path, seed: int) -> list[int]:
    """Two full backups and what follows each; returns where they end."""
    history = History(log, seed)
    ends = []
    with history.log:
        for number in range(6):
            for _ in range(60):
                history.step()
            ends.append(take_backup(history.log, backups, full=number == 3).position)
    return ends


def run_store(folder: Path, flips: int, swaps: int, seed: int) -> Iterator[tuple[str, str, list[str]]]:
    """Damage a store; yields the kind and the place of each damage, and its outcomes."""
    store = folder / "store"
    how, _ = in_a_process(lambda: make(store, replicas=2))
    assert how == "returned"
    how, sound = in_a_process(lambda: stored(store))
    assert how == "returned"
    assert outcome_of_store(store, sound) == ["unused"]
    for kind, told, undo in damages(store, flips, swaps, seed):
        yield f"store {kind}", told, outcome_of_store(store, sound)
        undo()
    assert outcome_of_store(store, sound) == ["unused"]


def run_backups(folder: Path, flips: int, swaps: int, seed: int) -> Iterator[tuple[str, str, list[str]]]:
    """Damage backups; yields as `run_store`."""
    backups, target = folder / "backups", folder / "restored"
    how, ends = in_a_process(lambda: make_backups(folder / "log", backups, seed))
    assert how == "returned"
    wanted = Wanted({}, {})
    for position in (*ends, None):
        _, answer = in_a_process(lambda position=position: digest_of(backups, target, position))
        how, log, notes, at = answer
        assert (how, at) == ("restored", position or ends[-1])
        wanted.notes[at] = notes
        if position in (None, ends[1]):
            wanted.logs[position] = log
    for kind, told, undo in damages(backups, flips, swaps, seed):
        yield f"backup {kind}", told, outcome_of_backups(backups, target, wanted)
        undo()
    assert outcome_of_backups(backups, target, wanted) == ["missed", "right", "right"]


def damages(folder: Path, flips: int, swaps: int, seed: int) -> Iterator[tuple[str, str, Callable[[], None]]]:
    """The kind of each damage, what was done, and what undoes it, which has to be called."""
    damage = Damage(folder, random.Random(seed))
    for _ in range(flips):
        yield ("flip", *damage.flip())
    for _ in range(swaps):
        yield ("swap", *damage.swap())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=500)
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    bank.compile()  # so that the forked processes have what that keeps
    outcomes: dict[str, Counter[str]] = {}
    bad = []
    with tempfile.TemporaryDirectory() as directory:
        for run in (run_store, run_backups):
            for kind, told, found in run(Path(directory), options.flips, options.swaps, options.seed):
                outcomes.setdefault(kind, Counter()).update(found)
                if not set(found) <= set(FOUND):
                    bad.append([kind, told, found])
    print(json.dumps({"seed": options.seed, **outcomes, "bad": bad}, indent=1))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
