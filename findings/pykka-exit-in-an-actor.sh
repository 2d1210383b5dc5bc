#!/usr/bin/env bash
# sys.exit() in one Pykka actor (any BaseException that is no Exception) stops every actor of the process, those of other
# libraries too; and the caller whose message it was gets no answer, not even ActorDeadError.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pykka==4.5.0
"$folder/venv/bin/python" - <<'PROGRAM'
import sys
from importlib.metadata import version

import pykka


class Exits(pykka.ThreadingActor):
    def on_receive(self, message):
        sys.exit(message)


class Bystander(pykka.ThreadingActor):
    stopped = None

    def on_receive(self, message):
        return message


print("python", sys.version.split()[0], "pykka", version("pykka"))
exits, bystander = Exits.start(), Bystander.start()
print("before:", exits.is_alive(), bystander.is_alive())
future = exits.ask("bye", block=False)
if not bystander.actor_stopped.wait(10):
    sys.exit("the behaviour has changed: the other actor goes on")
print("after: ", exits.is_alive(), bystander.is_alive())
try:
    answer = future.get(timeout=2)
except pykka.Timeout:
    print("the message that made it exit is never answered")
except BaseException as error:
    sys.exit(f"the behaviour has changed: it is answered with {error!r}")
else:
    sys.exit(f"the behaviour has changed: it is answered with {answer!r}")
PROGRAM
