#!/usr/bin/env bash
# An interrupt that comes where Event.wait() ends leaves the event locked: whoever sets it afterwards waits for ever.
#
# Event.wait() holds a Condition in a `with` block, and Condition.__exit__ is a function written in Python. CPython looks
# for signals when a function begins, so a KeyboardInterrupt may be raised there, before the lock is released. Here a
# trace function raises it at that very place. A plain Lock in a `with` block has no such place.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/show.py" <<'PYTHON'
import sys
import threading


def at_the_end(frame, event, argument):
    if event == "call" and frame.f_code.co_qualname == "Condition.__exit__":
        sys.settrace(None)
        raise KeyboardInterrupt
    return None


print("Python", sys.version.split()[0])
ready = threading.Event()
sys.settrace(at_the_end)
try:
    ready.wait(0.01)
except KeyboardInterrupt:
    print("interrupted while waiting")
sys.settrace(None)
setting = threading.Thread(target=ready.set, daemon=True)
setting.start()
setting.join(2.0)
print("ready.set() in another thread", "waits for ever" if setting.is_alive() else "returned")
sys.exit(not setting.is_alive())
PYTHON
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" "$folder/show.py"
