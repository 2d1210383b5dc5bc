#!/usr/bin/env bash
# msgpack packs 1,025 lists inside one another and unpacks 1,024: one depth is written without an error and can't be read
# again, neither by `unpackb` nor by `Unpacker.skip`. Reading the headers one after another gets past it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet msgpack==1.2.4
"$folder/venv/bin/python" - <<'PROGRAM'
import sys

import msgpack


def outcome(function, *arguments):
    try:
        function(*arguments)
    except ValueError as error:
        return f"{type(error).__name__}: {error}".rstrip(": ")
    return "fine"


def skip(data):
    unpacker = msgpack.Unpacker()
    unpacker.feed(data)
    unpacker.skip()


def headers(data):
    unpacker = msgpack.Unpacker()
    unpacker.feed(data)
    while unpacker.read_array_header():
        pass


print("python", sys.version.split()[0], "msgpack", msgpack.version)
seen = {}
for depth in (1024, 1025, 1026):
    value = []
    for _ in range(depth - 1):
        value = [value]
    seen[depth] = packed = outcome(msgpack.packb, value)
    print(depth, "lists: pack", packed)
    if packed == "fine":
        data = msgpack.packb(value)
        seen[depth] = [outcome(read, data) for read in (msgpack.unpackb, skip, headers)]
        print("           unpack, skip, headers one by one:", seen[depth])
if seen[1024] != ["fine"] * 3 or seen[1025] != ["StackError", "StackError", "fine"] or seen[1026] == "fine":
    sys.exit("the behaviour has changed")
PROGRAM
