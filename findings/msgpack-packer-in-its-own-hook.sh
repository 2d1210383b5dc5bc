#!/usr/bin/env bash
# A msgpack Packer that is used from its own `default` hook raises nothing: it returns bytes that do not decode, as the
# inner call empties the buffer that the outer one is writing to. A packer of its own for the hook is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet msgpack==1.2.4
"$folder/venv/bin/python" - <<'PROGRAM'
import sys

import msgpack


class Pair:
    pass


def packed(pack_inside):
    outer = msgpack.Packer(default=lambda pair: msgpack.ExtType(1, pack_inside(outer)([1, 2])))
    return outer.pack(["before", Pair(), "after"])


print("python", sys.version.split()[0], "msgpack", msgpack.version)
right = packed(lambda outer: msgpack.packb)
print("another packer in the hook:", right, "->", msgpack.unpackb(right))
wrong = packed(lambda outer: outer.pack)
try:
    print("the same packer in the hook:", wrong, "->", msgpack.unpackb(wrong))
except msgpack.ExtraData as error:
    print("the same packer in the hook:", wrong, "-> ExtraData:", error)
else:
    sys.exit("the behaviour has changed: the bytes decode")
PROGRAM
