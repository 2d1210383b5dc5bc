#!/usr/bin/env bash
# A Pykka actor answers what waits in its inbox when it stops with ActorDeadError. `ask` looks whether the actor lives and
# then puts its message: one that is put between the actor's last look and its thread's end is never answered, and
# `ask` without a timeout waits for ever. The inbox below is an ordinary queue that has the actor stop in just that moment.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pykka==4.5.0
"$folder/venv/bin/python" - <<'PROGRAM'
import queue
import sys
from importlib.metadata import version

import pykka


class Inbox(queue.Queue):
    before_put = None

    def put(self, envelope, *args, **options):
        hook, self.before_put = self.before_put, None
        if hook is not None:
            hook()
        super().put(envelope, *args, **options)


class Echo(pykka.ThreadingActor):
    @staticmethod
    def _create_actor_inbox():
        return Inbox()

    def on_receive(self, message):
        return message


print("python", sys.version.split()[0], "pykka", version("pykka"))
actor = Echo.start()
print("ask, alive:", actor.ask("hello", timeout=5))
actor.actor_inbox.before_put = lambda: actor.stop(block=True)
future = actor.ask("too late", block=False)
print("alive:", actor.is_alive(), "- messages left in its inbox:", actor.actor_inbox.qsize())
try:
    print("answered:", future.get(timeout=2))
except pykka.Timeout:
    print("no answer, and nobody is left who could give one")
except pykka.ActorDeadError:
    sys.exit("the behaviour has changed: it is answered with ActorDeadError")
PROGRAM
