#!/usr/bin/env bash
# A cursor of the lmdb package that has come to its end, or whose set_range found nothing, stands nowhere, and iterating then
# begins at the first key: a loop that takes what a cursor has left, until there is nothing, goes round for ever, and who
# does not look at what set_range returned gets the whole database. An iterator that ended stays at its end.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet lmdb==3.0.0
"$folder/venv/bin/python" - "$folder/data" <<'PROGRAM'
import sys
from itertools import islice

import lmdb

print("python", sys.version.split()[0], "lmdb", lmdb.__version__, "LMDB", lmdb.version())
environment = lmdb.open(sys.argv[1], map_size=1 << 20)
with environment.begin(write=True) as transaction:
    for key in (b"a", b"b", b"c"):
        transaction.put(key, b"")
with environment.begin() as transaction:
    iterator = iter(transaction.cursor())
    whole = [[key for key, _ in islice(iterator, 2)] for _ in range(4)]
    print("one iterator, two at a time:         ", whole)
    cursor = transaction.cursor()
    parts = []
    for _ in range(4):
        parts.append([key for key, _ in islice(cursor.iternext(), 2)])
        cursor.next()
    print("its cursor each time, two at a time: ", parts)
    print("set_range beyond the last key:       ", cursor.set_range(b"x"), list(cursor.iternext(values=False)))
    beyond = list(cursor.iternext(values=False))
if whole != [[b"a", b"b"], [b"c"], [], []] or parts[2] != [b"a", b"b"] or beyond != [b"a", b"b", b"c"]:
    sys.exit("the behaviour has changed")
PROGRAM
