#!/usr/bin/env bash
# SQLite's FTS5 keeps how a table ranks in its table of settings. A connection that has read the table knows the ranking,
# and finds out that another connection changed it too late: its next query is still ranked in the old way, though it
# is a new statement in a new transaction and shows the new rows. The one after that is right. Below, two connections of
# Python's sqlite3 to one file; nothing else.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
FOLDER="$folder" "${PYTHON:-python3}" - <<'PROGRAM'
import os
import sqlite3
import sys

path = os.path.join(os.environ["FOLDER"], "texts.db")
writer = sqlite3.connect(path, isolation_level=None)
writer.execute("PRAGMA journal_mode=WAL")
writer.execute("CREATE VIRTUAL TABLE texts USING fts5(title, text)")
writer.execute("INSERT INTO texts VALUES ('red red', 'blue'), ('blue', 'red')")
reader = sqlite3.connect(path, isolation_level=None)
asked = "SELECT title, round(rank * 1e6, 3) FROM texts WHERE texts MATCH 'red' ORDER BY rank"

print("python", sys.version.split()[0], "sqlite", sqlite3.sqlite_version)
print("before:                 ", reader.execute(asked).fetchall())
writer.execute("INSERT INTO texts(texts, rank) VALUES ('rank', 'bm25(0.0, 10.0)')")
first, second = reader.execute(asked).fetchall(), reader.execute(asked).fetchall()
print("after the change:       ", first)
print("the same, asked again:  ", second)
fresh = sqlite3.connect(path).execute(asked).fetchall()
print("of a new connection:    ", fresh)
if first == fresh:
    sys.exit("the behaviour has changed: the first query after the change is ranked in the new way")
assert second == fresh
PROGRAM
