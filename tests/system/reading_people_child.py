"""A process that reads the store of `people` while another one writes, and says what a person's name is.

Run as `python -m tests.system.reading_people_child STORE MASTER_KEY SUBJECT UNTIL`; it ends when the name is
`UNTIL`.
"""

from __future__ import annotations

import sys
import threading

from actors import System
from tests.system.people import NameOf, people


def main(store: str, master: str, subject: str, until: str) -> None:
    with System.open(store, people, replicas=1, map_size=1 << 30, mode="read", master_key=master) as reader:
        said = None
        while said != until:
            row = reader.query(NameOf(subject), consistency="strong")
            name = None if row is None else row[0]
            if name != said:
                said = name
                print(said, reader.stream(f"customer-{subject}")[0].event.name, flush=True)
            threading.Event().wait(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
