#!/usr/bin/env bash
# The lmdb package 3.0 has two engines, LMDB 0.9 and 1.0. An environment variable decides which one writes a new file,
# in a program that never asked for it. The other engine calls such a file no LMDB file at all (InvalidError), in both
# directions, and not VersionMismatchError; only the file's first bytes tell.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check lmdb==3.0.0
cat > "$folder/show.py" <<'PYTHON'
import os
import platform
import struct
import subprocess
import sys

import lmdb

folder = sys.argv[1]
print("python", platform.python_version(), "lmdb", lmdb.__version__, "engines", lmdb.version(lib_version=0), lmdb.version(lib_version=1))
MAGIC = struct.pack("=I", 0xBEEFC0DE)
MAKE = "import lmdb, sys; lmdb.open(sys.argv[1]).close()"


def where(path):
    with open(os.path.join(path, "data.mdb"), "rb") as file:
        head = file.read(64)
    at = head.index(MAGIC)
    return at, struct.unpack_from("=I", head, at + 4)[0]


found = {}
for setting in (None, "1"):
    path = os.path.join(folder, f"made-{setting}")
    environment = {name: value for name, value in os.environ.items() if name != "LMDB_DEFAULT_LIB_VERSION"}
    if setting is not None:
        environment["LMDB_DEFAULT_LIB_VERSION"] = setting
    subprocess.run([sys.executable, "-c", MAKE, path], env=environment, check=True)
    found[setting] = where(path)
    print(f"LMDB_DEFAULT_LIB_VERSION={setting}: magic number at byte {found[setting][0]}, data format {found[setting][1]}")
    for engine in (0, 1):
        try:
            lmdb.open(path, lib_version=engine).close()
            said = "opens"
        except lmdb.Error as error:
            said = f"{type(error).__name__}: {str(error).partition(': ')[2]}"
        print(f"  lib_version={engine}: {said}")
        found[setting, engine] = said
expected = {
    None: (16, 1),
    (None, 0): "opens",
    (None, 1): "InvalidError: MDB_INVALID: File is not an LMDB file",
    "1": (24, 3),
    ("1", 0): "InvalidError: MDB_INVALID: File is not an LMDB file",
    ("1", 1): "opens",
}
if found != expected:
    sys.exit(f"the behaviour changed: {found}")
PYTHON
"$folder/venv/bin/python" "$folder/show.py" "$folder"
