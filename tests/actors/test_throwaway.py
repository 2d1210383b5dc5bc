"""Folders that are thrown away, whatever ends the program that made them."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest

from actors.cli.temporary_folder import throwaway_folder


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_folder_is_there_inside_and_gone_after_it(place: Path) -> None:
    with throwaway_folder("mine-") as folder:
        assert os.path.basename(folder).startswith("mine-")
        Path(folder, "file").write_text("text")
        assert list(place.iterdir()) == [Path(folder)]
    assert list(place.iterdir()) == []


def test_a_signal_in_the_moment_of_its_making_leaves_no_folder_behind(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    mkdtemp = tempfile.mkdtemp

    def interrupted(*arguments: Any, **options: Any) -> str:
        folder = mkdtemp(*arguments, **options)
        made.append(folder)
        os.kill(os.getpid(), signal.SIGINT)
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", interrupted)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        with pytest.raises(KeyboardInterrupt), throwaway_folder("mine-"):
            pytest.fail("the signal was lost")
    finally:
        signal.signal(signal.SIGINT, handler)
    assert len(made) == 1
    assert list(place.iterdir()) == []
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
