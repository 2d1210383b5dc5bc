"""Kills a process with SIGKILL at random moments while it writes of people and forgets them.

What was acknowledged is there, or redacted if its person was forgotten since; what was forgotten stays so,
and what was begun is finished.

`ONEWRITER_CRASH_ROUNDS` sets the number of rounds, `ONEWRITER_CRASH_SEED` the seed.
"""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from pathlib import Path

import pytest

from actors import System
from storage.crypto.master_key import new_key_file
from tests.forked import Forked
from tests.helpers import quick_folder
from tests.system.people import Named, NameOf, directory, people

pytestmark = pytest.mark.kill

ROUNDS = max(int(os.environ.get("ONEWRITER_CRASH_ROUNDS", "3")), 3)
SEED = int(os.environ.get("ONEWRITER_CRASH_SEED", random.randrange(1 << 32)))
GONE = "[forgotten]"


def run_and_kill(store: Path, master: Path, number: int, seconds: float) -> list[list[str]]:
    """What the child said from when it had opened the store until it was killed."""
    with Forked("tests.system.forgetting_child", str(store), str(master), str(number)) as process:
        assert process.stdout.readline() == "open\n"
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        said = process.stdout.read()
        timer.join()
    lines = said.split("\n")[:-1]  # the last line may be cut
    return [line.split(" ", 3) for line in lines]


def test_whenever_the_process_is_killed_nothing_is_lost_and_nobody_comes_back() -> None:
    print(f"ONEWRITER_CRASH_SEED={SEED}")
    dice = random.Random(SEED)
    left: Counter[str] = Counter()
    with quick_folder() as name:
        folder = Path(name)
        store, master = folder / "store", new_key_file(folder / "master")
        wrote: dict[int, tuple[str, str]] = {}
        forgot: dict[str, int] = {}
        for number in range(ROUNDS):
            said = run_and_kill(store, master, number, dice.choice([0.05, 0.2, 0.5]) * dice.random())
            wrote |= {int(one[1]): (one[2], one[3]) for one in said if one[0] == "wrote"}
            forgot |= {one[1]: int(one[2]) for one in said if one[0] == "forgot"}
            last = [one for one in said if one[0] in ("forgetting", "forgot")]
            begun = last[-1][1] if last and last[-1][0] == "forgetting" else ""
            with System.open(store, people, replicas=2, map_size=1 << 30, master_key=master) as system:
                found = {
                    one.position: one.event.name
                    for one in system.subscribe(0, until=system.position)
                    if isinstance(one.event, Named)
                }
                finished = [one.position for one in system.stream(f"forgotten-{begun}")] if begun else []
                if finished and finished[-1] > forgot.get(begun, 0):
                    forgot[begun] = finished[-1]
                    left["finished" if finished[-1] == system.position else "told"] += 1
                else:
                    left["as before" if begun else "between"] += 1
                for position, (subject, text) in wrote.items():
                    if position < forgot.get(subject, 0):
                        # Committed while it was being forgotten, it may have the new key.
                        assert found[position] in (GONE, text)
                    else:
                        assert found[position] == text, (number, position, subject, forgot)
                for subject, until in forgot.items():
                    before = [one for one, (whose, _) in wrote.items() if whose == subject and one < until]
                    assert all(found[one] == GONE for one in before[:-2]), (number, subject)
                system.wait_rebuilt(directory, 30)
                system.wait_applied()
                shown = {
                    row["customer"]: row["name"] for row in system.dump("replica-1", directory)["entries"]
                }
                for subject in shown:
                    streams = system.stream(f"customer-{subject}")
                    assert shown[subject] == streams[-1].event.name
                    assert system.query(NameOf(subject), consistency="strong")[0] == shown[subject]
                assert system.verify_log().findings == []
                assert system._runtime.parts.domain.codec.sealer.store.destroying() == []
    print(dict(left), len(wrote), "written", len(forgot), "forgotten")
