"""Instances that are set aside: what each hears in the end is what it would have heard had nothing failed."""

from __future__ import annotations

import os
import random

import pytest

from actors.process_managers import input_history, snapshot_restore
from tests.actors.process_managers.story import Story, a_story

SEED = int(os.environ.get("ONEWRITER_STORY_SEED", "0"))
ROUNDS = int(os.environ.get("ONEWRITER_STORIES", "12"))


def live(story: Story, dice: random.Random, *, releases: bool) -> None:
    """Let it happen, with changing weather, restarts in between, and releases that rebuild the states."""
    more = True
    while more:
        if dice.random() < 0.5:
            more = story.happen()
        for _ in range(dice.randrange(4)):
            story.turn(dice)
        chance = dice.random()
        if chance < 0.1:
            story.weather.handlers ^= {dice.choice("abcd")}
        elif chance < 0.2:
            story.weather.commands ^= {dice.choice("abcd")}
        elif chance < 0.25:
            story.begin()
        elif releases and chance < 0.28:
            story.raise_version()


@pytest.mark.parametrize("releases", [False, True], ids=["one version", "versions"])
@pytest.mark.parametrize("ends", [False, True], ids=["go on", "end"])
@pytest.mark.parametrize("heard", [1_000, 2], ids=["much is kept", "little is kept"])
def test_what_instances_hear_and_do_does_not_depend_on_what_failed_meanwhile(
    monkeypatch: pytest.MonkeyPatch, releases: bool, ends: bool, heard: int
) -> None:
    monkeypatch.setattr(input_history, "MAX_HISTORY", heard)
    monkeypatch.setattr(snapshot_restore, "CHUNK", 1)  # a start may come between any two
    for number in range(ROUNDS):
        seed = SEED or number
        calm = a_story(random.Random(seed), 40, ends=ends)
        calm.finish()
        rough = a_story(random.Random(seed), 40, ends=ends)
        live(rough, random.Random(seed), releases=releases)
        rough.finish()
        assert rough.heard() == calm.heard(), f"ONEWRITER_STORY_SEED={seed}"
        assert sorted(rough.executed) == sorted(calm.executed), f"ONEWRITER_STORY_SEED={seed}"
        assert sorted(rough.effects) == sorted(calm.effects), f"ONEWRITER_STORY_SEED={seed}"
        left = [
            key for key in rough.memory if any(part in key for part in (b"held/", b"quarantine/", b"input/"))
        ]
        assert left == []
        assert rough.planner.state.checkpoint[2:] == calm.planner.state.checkpoint[2:], (
            f"ONEWRITER_STORY_SEED={seed}"
        )
        for story in (calm, rough):
            kept = story.kept()
            assert all(len(ends) <= heard + 3 for ends in kept.values()), f"ONEWRITER_STORY_SEED={seed}"
            assert story.history() == {end for ends in kept.values() for end in ends}, (
                f"ONEWRITER_STORY_SEED={seed}"
            )
            assert kept.keys() <= story.heard().keys(), f"ONEWRITER_STORY_SEED={seed}"
        rough.raise_version()
        rough.finish()
        assert rough.heard() == calm.heard(), f"built anew: ONEWRITER_STORY_SEED={seed}"
        assert sorted(rough.executed) == sorted(calm.executed)
