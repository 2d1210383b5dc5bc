"""Takes a backup of a log into a folder, while others write to the log. The caller's thread."""

from __future__ import annotations

import os
from typing import TypedDict

from storage.backup.archive_copies import ArchiveCopies, FolderCopies, add_copies, remove_copies
from storage.backup.backup_set import BackupSet, checked_keep, require_distinct
from storage.backup.backup_writer import Backup, BackupWriter, Progress
from storage.backup.pace import Pace, checked_rate, checked_share
from storage.backup.segment_format import ArchiveCopy
from storage.backup.segment_reader import Segment
from storage.backup.segment_source import archive_copies, is_on_chain
from storage.errors import EventsRemoved, StorageError
from storage.files.published_file import PublishedFile
from storage.log.log_reader import LogReader
from storage.log.open_log import LogTransaction

__all__ = ["BackupOptions", "take_backup"]


class BackupOptions(TypedDict, total=False):
    """What `take_backup` takes beside log and target."""

    full: bool
    share: float
    max_bytes_per_second: float | None
    keep: int | None
    whole_notes: bool
    progress: Progress | None


def take_backup(
    log: LogReader,
    target: str | os.PathLike[str],
    *,
    full: bool = False,
    share: float = 1.0,
    max_bytes_per_second: float | None = None,
    keep: int | None = None,
    whole_notes: bool = False,
    progress: Progress | None = None,
    copies: ArchiveCopies | None = None,
) -> Backup:
    """Add a backup of a log to the folder `target`: an increment, or a full one with `full`.

    It is a full one, too, if the newest in the folder is not of this log as it is now. It takes a `share` of
    the thread's time, or more if the log grows faster than that, and writes up to `max_bytes_per_second`,
    None for no limit. `progress` is called with the position that is reached, and the last one. `copies` are
    where the files of archives are copied to, the folder unless it is given. On return
    the file is on disk, and what comes before the last `keep` full backups is removed; None removes nothing.
    With `whole_notes` an increment has all notes, even if they are as in the file before it.

    Raises InvalidBackup for a folder of something else, StoreLocked if another backup into it is running,
    DamagedStore for damage in the log, StoreFull, StorageError, ValueError. The file is then not there, and
    the others are as before.

    Files of archives are copied beside it, unless they are there already. A backup is full by itself after
    an archive was made or removed.
    """
    keep = checked_keep(keep)
    pace = Pace(checked_rate(max_bytes_per_second), checked_share(share))
    backups = BackupSet(target)
    require_distinct(backups.path, log.path)
    with backups.writing():
        base = None if full else backups.newest()
        backup = None
        while backup is None:
            backup = _take(
                log, base, backups, copies or FolderCopies(backups), pace, progress, whole_notes=whole_notes
            )
            base = None
        if keep is not None:
            backups.remove_before(keep)
            remove_copies(FolderCopies(backups), backups.runs_ends())
        return backup


def _take(
    log: LogReader,
    base: Segment | None,
    backups: BackupSet,
    copies: ArchiveCopies,
    pace: Pace,
    progress: Progress | None,
    *,
    whole_notes: bool,
) -> Backup | None:
    """Take a backup; None if an archive was made or removed meanwhile."""
    file = None
    try:
        with log.transaction() as transaction:
            _require_chain(transaction)
            archives = archive_copies(transaction)
            if base is not None and not _continues(log, transaction, base, archives):
                base = None
        file = PublishedFile(backups.next_path(full=base is None), gentle=pace.gentle)
        backup = BackupWriter(log, base, archives, file, pace, progress, whole_notes=whole_notes).run()

        def copied(size: int) -> None:
            pace.after(size)
            if progress is not None and backup is not None:
                progress(backup.position, backup.position)

        if backup is not None:
            add_copies(copies, log, archives, copied)
            file.publish()
        return backup
    except EventsRemoved:
        return None
    finally:
        if file is not None:
            file.discard()  # does nothing once it is published


def _require_chain(log: LogTransaction) -> None:
    if not log.records.checked:
        raise StorageError(
            f"{log.records.what} has an older format, without checksums: open it for writing once, then back "
            "it up"
        )


def _continues(
    log: LogReader, transaction: LogTransaction, base: Segment, archives: list[ArchiveCopy]
) -> bool:
    return (
        base.header.history_id == log.history_id
        and list(base.end.archives) == archives
        and is_on_chain(transaction, base.end.point, log.first_history_id)
    )
