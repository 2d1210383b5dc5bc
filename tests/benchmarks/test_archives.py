"""The benchmark of archives runs, and measures each size of blocks."""

from __future__ import annotations

import pytest

from benchmarks import archives
from storage.archive import archive_writer


def test_each_size_of_blocks_is_measured_beside_the_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_writer, "BLOCK_BYTES", archive_writer.BLOCK_BYTES)  # put back at the end
    assert archives.main(["--events", "1000", "--runs", "1", "--kib", "8", "64"]) == 0
    rows = [
        line.strip("|").split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")
    ]
    assert [row[0].strip() for row in rows] == ["blocks of", "in the log", "8 KiB", "64 KiB"]
    assert all(len(row) == 8 for row in rows)
