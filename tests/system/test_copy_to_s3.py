"""Backups and the continuous copy in S3: a server of it, which is started once for this file."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from actors import StorageError, StoreLocked, System, restore
from actors.cli.backup import main as backup_main
from actors.cli.restore import main as restore_main
from actors.cli.verify import main as verify_main
from actors.demo.shop import ListProduct, ProductDetails, shop
from actors.repl.drill import main as drill_main
from storage import EventLog, restore_backup
from storage.backup import s3_place
from storage.backup.places import fetched, remote_place
from storage.backup.targets import backup_target
from storage.backup.verify_backup import SegmentCheck, verify_backup
from tests.helpers import quick_folder, wait_until
from tests.storage.backup.histories import CODEC, ArchivingHistory, contents
from tests.system.s3_endpoint import make_bucket, s3_endpoint


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    """Looked for by who runs these tests, not by every process that collects all: it takes half a second."""
    pytest.importorskip("boto3", reason="needs the extra s3")
    pytest.importorskip("moto.server", reason="needs moto's server")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The URL of the server, with a bucket."""
    with s3_endpoint() as url:
        yield url


@pytest.fixture
def place(endpoint: str) -> str:
    return f"s3://copies/{uuid.uuid4().hex}?endpoint_url={endpoint}"


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as path:
        yield Path(path)


def opened(folder: Path, place: str, **settings: object) -> System:
    settings = {"copy_to": place, "copy_interval": 0.02, **settings}
    return System.open(folder / "shop", shop, replicas=1, **settings)  # type: ignore[arg-type]


def listed(system: System, *numbers: int) -> None:
    for number in numbers:
        system.execute(ListProduct(f"p-{number}", f"Product {number}", "k", number))


def copied(system: System) -> bool:
    copy = system.health().copy
    return copy is not None and copy.files > 0 and copy.lag == 0 and copy.last_error is None


def test_what_is_committed_is_copied_and_restored(folder: Path, place: str) -> None:
    with opened(folder, place) as system:
        listed(system, 1, 2)
        wait_until(lambda: copied(system))
        listed(system, 3)
        wait_until(lambda: copied(system))
        between = datetime.now(UTC)
        listed(system, 4)
    with opened(folder, place) as system:
        listed(system, 5)
    names = remote_place(place).names()
    assert [name for name in names if "full" in name] == ["00000001-full.backup"]
    shutil.rmtree(folder / "shop")
    assert restore(place, folder / "before", at=between).position == 3
    assert restore(place, folder / "again").position == 5
    with System.open(folder / "again", shop, replicas=1) as system:
        assert system.query(ProductDetails("p-5"), consistency="strong")["name"] == "Product 5"


def test_old_copies_are_removed(folder: Path, place: str) -> None:
    with opened(folder, place, copy_full_every=0.001, copy_keep=2) as system:
        for number in range(1, 6):
            listed(system, number)
            wait_until(lambda: copied(system))
    assert sum("full" in one for one in remote_place(place).names()) == 2
    assert restore(place, folder / "again").position == 5


def test_the_commands_take_an_address(folder: Path, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    store = str(folder / "shop")
    with System.open(store, shop, replicas=1) as system:
        listed(system, 1, 2)
        assert system.backup(place).full
        listed(system, 3)
    assert backup_main([store, place, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["backup"]["position"] == 3
    assert verify_main([place]) == 0
    assert drill_main([place, "--domain", "shop", "--query", "Cheapest 3"]) == 0
    assert restore_main([place, str(folder / "again"), "--position", "2"]) == 0
    assert "ends at position 2" in capsys.readouterr().out


def test_archives_are_put_once_and_fetched_for_a_restore(folder: Path, place: str) -> None:
    history = ArchivingHistory(folder / "log", 3)
    with history.log as log, closing(backup_target(place)) as target:
        for _ in range(20):
            history.step()
        first = history.archive(whole=True)
        assert target.take(log).full
        history.step()
        assert not target.take(log).full
        assert len(remote_place(place).copies()) == 1
        history.archive(whole=True)
        assert target.take(log).full
        assert len(remote_place(place).copies()) == 2
        assert [one.findings for one in verified(place)] == [[]]
        with fetched(place) as found:
            restore_backup(found, folder / "again")
        with EventLog.open(folder / "again", CODEC) as again:
            assert contents(again) == contents(log)
        log.remove_archive(first, who="ann", why="law", time_us=1)
        assert target.take(log, keep=1).full
        assert len(remote_place(place).copies()) == 1
        assert [one.findings for one in verified(place)] == [[]]


def verified(place: str) -> list[SegmentCheck]:
    with fetched(place) as found:
        return list(verify_backup(found))


def test_a_bucket_that_is_not_there_is_an_error_that_says_what_to_do(
    folder: Path, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = f"s3://nowhere/shop?endpoint_url={endpoint}"
    assert restore_main([missing, str(folder / "again")]) == 1
    assert "whether the bucket exists" in capsys.readouterr().err
    with opened(folder, missing, copy_limit=0.05) as system:
        listed(system, 1)
        wait_until(lambda: any("NoSuchBucket" in one for one in system.health().problems))
        make_bucket(endpoint, "nowhere")
        wait_until(lambda: copied(system))
    with pytest.raises(StorageError, match="cannot be listed"):
        remote_place("s3://copies/x?endpoint_url=http://127.0.0.1:9").names()


@pytest.mark.parametrize("single", [1 << 20, 1])
def test_no_object_is_overwritten(
    folder: Path, place: str, single: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_place, "SINGLE_BYTES", single)
    (folder / "one").write_bytes(b"one")
    (folder / "two").write_bytes(b"two")
    name = "00000001-full.backup"
    remote_place(place).put(folder / "one", name)
    with pytest.raises(StoreLocked, match="another program"):
        remote_place(place).put(folder / "two", name)
    remote_place(place).fetch(name, folder / "there")
    assert (folder / "there").read_bytes() == b"one"


def test_large_files_go_in_parts_and_only_the_ends_are_looked_at(
    folder: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_place, "SINGLE_BYTES", 1000)
    monkeypatch.setattr(s3_place, "PART_BYTES", 5 << 20)
    monkeypatch.setattr(s3_place, "HEAD_BYTES", 500)
    with System.open(folder / "shop", shop, replicas=1) as system:
        listed(system, *range(1, 300))
        assert system.backup(place).full
        listed(system, 300)
        assert not system.backup(place).full
    assert restore(place, folder / "again").position == 300
