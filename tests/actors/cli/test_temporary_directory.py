"""Temporary directories are removed, whatever ends the program that made them."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from actors.cli.temporary_directory import temporary_directory


@pytest.fixture(autouse=True)
def temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary directories are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_folder_is_there_inside_and_gone_after_it(temporary_files: Path) -> None:
    with temporary_directory("mine-") as folder:
        assert os.path.basename(folder).startswith("mine-")
        Path(folder, "file").write_text("text")
        assert list(temporary_files.iterdir()) == [Path(folder)]
    assert list(temporary_files.iterdir()) == []


def test_a_signal_while_it_is_made_leaves_no_folder_behind(
    temporary_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    mkdtemp = tempfile.mkdtemp

    def interrupted(*arguments: Any, **options: Any) -> str:
        folder = mkdtemp(*arguments, **options)
        made.append(folder)
        # To this thread: the process may have others here, which do not hold it back.
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", interrupted)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        with pytest.raises(KeyboardInterrupt), temporary_directory("mine-"):
            pytest.fail("the signal was lost")
    finally:
        signal.signal(signal.SIGINT, handler)
    assert len(made) == 1
    assert list(temporary_files.iterdir()) == []
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
