#!/usr/bin/env bash
# What msgpack's `default` hook returns is not given to the hook again, though what is inside it is: an int of over 64 bits is
# packed by the hook at the top and inside a list that the hook returned, and is an OverflowError where the hook returned it
# for another value.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet msgpack==1.2.4
"$folder/venv/bin/python" - <<'PROGRAM'
import sys
from decimal import Decimal
from fractions import Fraction

import msgpack

BIG = 1 << 70


def default(value):
    if isinstance(value, int):
        return msgpack.ExtType(1, value.to_bytes(9, "big"))
    if isinstance(value, Decimal):
        return int(value)
    return [value.numerator, value.denominator]


print("python", sys.version.split()[0], "msgpack", msgpack.version)
print("an int:                     ", msgpack.packb(BIG, default=default).hex())
print("returned inside a list:     ", msgpack.packb(Fraction(BIG, 3), default=default).hex())
print("a small int that is returned:", msgpack.packb(Decimal(7), default=default).hex())
try:
    print("a large one that is returned:", msgpack.packb(Decimal(BIG), default=default).hex())
except OverflowError as error:
    print("a large one that is returned: OverflowError:", error)
else:
    sys.exit("the behaviour has changed: the hook is asked again")
PROGRAM
