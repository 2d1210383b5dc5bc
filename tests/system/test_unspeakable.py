"""Errors of a program's own code that can't even say what they are."""

from __future__ import annotations

import threading

import pytest

from actors import DeciderFailed, Domain, QueryFailed, System
from actors.kernel.supervisor import Supervisor
from actors.testing import open_system
from tests.helpers import PATIENCE, wait_until

club = Domain("club")
TEXT = r"Unspeakable \(its message could not be rendered\)"


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


@club.state(stream="member-{name}")
class Member:
    name: str


@club.event(Member, state=None)
class Joined:
    name: str


@club.command(Member)
class Join:
    name: str


@club.decide
def join(_member: Member | None, command: Join):
    if command.name == "decider":
        raise Unspeakable
    return Joined(command.name)


names = club.read_model("names")
rows = names.table("rows", key="name")


@names.on
def joined(event: Joined, tables):
    if event.name == "projection":
        raise Unspeakable
    tables[rows].put({"name": event.name})


@club.query(reads=[names])
class Count:
    fail: bool = False

    def run(self, view):
        if self.fail:
            raise Unspeakable
        return view[rows].count()


def test_an_error_without_a_text_fails_only_what_raised_it():
    with open_system(club) as system:
        with pytest.raises(DeciderFailed, match=TEXT):
            system.execute(Join("decider"))
        with pytest.raises(QueryFailed, match=TEXT):
            system.query(Count(fail=True))
        system.execute(Join("ann"))
        assert system.query(Count()) == 1
        system.execute(Join("projection"))
        wait_until(lambda: system.health().replicas[0].models[0].failure is not None)
        assert all(actor.restarts == 0 for actor in system.health().actors)


def test_an_opening_that_is_interrupted_leaves_no_actor_behind(store_path, monkeypatch):
    def interrupted(_self: Supervisor, _timeout: float) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Supervisor, "wait_started", interrupted)
        with pytest.raises(KeyboardInterrupt):
            System.open(store_path, club)
    wait_until(lambda: not any(one.name.startswith("onewriter-") for one in threading.enumerate()))
    with System.open(store_path, club) as system:
        system.execute(Join("ann"), timeout=PATIENCE)
