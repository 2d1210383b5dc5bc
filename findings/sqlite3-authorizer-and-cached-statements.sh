#!/usr/bin/env bash
# sqlite3 keeps prepared statements by their text, and SQLite asks the authorizer while it prepares. So an authorizer that
# changes its mind is not asked about a text that ran before: the statement runs. One blank more and it is refused.
# Setting an authorizer anew, even the same function, has every statement looked at again.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" - <<'PROGRAM'
import sqlite3
import sys

print("python", sys.version.split()[0], "sqlite", sqlite3.sqlite_version)
db = sqlite3.connect(":memory:")
db.executescript("CREATE TABLE prices(amount); INSERT INTO prices VALUES (7)")
allowed = True


def authorizer(*_what):
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def run(text):
    try:
        return db.execute(text).fetchall()
    except sqlite3.DatabaseError as error:
        return f"refused: {error}"


db.set_authorizer(authorizer)
text = "SELECT amount FROM prices"
print("allowed:                ", run(text))
allowed = False
cached, other = run(text), run(text + " ")
print("denied, the same text:  ", cached)
print("denied, one blank more: ", other)
db.set_authorizer(authorizer)
again = run(text)
print("denied, set again:      ", again)
if cached != [(7,)] or not other.startswith("refused") or again == [(7,)]:
    sys.exit("the behaviour has changed")
PROGRAM
