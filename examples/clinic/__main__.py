"""Runs a day of the clinic on a store: `python -m examples.clinic [STORE]`, in a temporary folder unless
told.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

from actors import System
from examples.clinic import base, reminders
from examples.clinic.audit import auditor
from examples.clinic.desk import back_office, caretaker, front_desk, home_page
from examples.clinic.newsletter import editor


def main(path: Path) -> None:
    heard: Counter[str] = Counter()
    with System.open(path, base.clinic, replicas=2) as system:
        system.on_committed(lambda first, last: heard.update(committed=last - first + 1))
        system.on_broadcast(lambda first, last: heard.update(broadcast=last - first + 1))
        system.on_applied(lambda replica, _position, _lag: heard.update([replica]))
        for line in front_desk(system):
            print("desk:     ", line)
        for line in asyncio.run(home_page(system)):
            print("web:      ", line)
        for line in back_office(system):
            print("office:   ", line)
        for line in caretaker(system):
            print("caretaker:", line)
        for line in auditor(system):
            print("auditor:  ", line)
        for line in editor(path.with_name("newsletter"), path.with_name("backups")):
            print("editor:   ", line)
        print(f"{len(reminders.sent)} letters sent, {heard['committed']} events in {system.path}")
        print(f"asked: {dict(base.asked)}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder) / "clinic")
