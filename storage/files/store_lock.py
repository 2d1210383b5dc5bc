"""Admits one opener at a time to a store, across processes and within one. Any thread.

The lock is a flock on the file LOCK, so the system releases it when the process dies, in whatever way. The
file stays: if it were removed, two openers could hold locks on two files of the same name. A file object
holds it, not a number, so that it is closed even if an interrupt leaves no other reference to it.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import sys
import weakref
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from storage.errors import StorageError, StoreLocked
from storage.files.error_translation import from_system
from storage.files.stop_mark import StopMark, current_boot_id

LOCK_FILE = "LOCK"
SIGNED = "process "
"""What a holder writes into the lock file begins with this."""


def is_signed(path: str | os.PathLike[str]) -> bool:
    """Whether a store was ever opened for writing in this directory. Changes nothing."""
    try:
        with open(Path(path) / LOCK_FILE, "rb") as file:
            return file.read(len(SIGNED)) == SIGNED.encode()
    except OSError:
        return False


def doubt_of(path: str | os.PathLike[str]) -> str | None:
    """Why the files in a directory must be checked before a process maps them that does not lock them.

    None if there is no reason. A holder of this run of the machine may be writing now; it has checked them.
    Raises OSError.
    """
    try:
        text = (Path(path) / LOCK_FILE).read_bytes()[:4096].decode(errors="surrogateescape")
    except FileNotFoundError:
        text = ""
    if not text:
        return "it was moved or copied there"
    mark = StopMark.read(text)
    return None if mark is None or mark.boot_id == current_boot_id() else mark.doubt()


def holder_of(path: str | os.PathLike[str]) -> str | None:
    """Who has the store in a directory open for writing, None for nobody. Takes no lock, not for a moment.

    Of a process that was killed it may say so for as long as another one has its number.
    """
    try:
        text = (Path(path) / LOCK_FILE).read_bytes()[:4096].decode(errors="replace")
    except OSError:
        return None
    mark, holder = StopMark.read(text), text.partition("\n")[0].strip()
    if mark is None or mark.state == "closed" or mark.boot_id != current_boot_id():
        return None
    process, _, host = holder.removeprefix(SIGNED).partition(" on ")
    if process.isdecimal() and host.partition(",")[0] == os.uname().nodename:
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            return None
        except OSError:
            pass  # it is another user's
    return holder


class StoreLock:
    """The lock of the store in the directory `path`, taken on creation and held until `release`.

    Raises StoreLocked, with the holder, if another opener has it; StoreReadOnly if the file cannot be
    written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path) / LOCK_FILE
        self._file: io.FileIO | None = None
        self.before = ""
        """What the file contained: who had the lock last, and how that ended."""
        self._mark: StopMark | None = None
        try:
            self._take()
        except BaseException:
            self.release()
            raise

    def _take(self) -> None:
        _held.add(self)
        try:
            try:
                self._file = io.FileIO(self.path, "r+")
            except FileNotFoundError:
                with suppress(FileExistsError), io.FileIO(self.path, "x"):
                    os.chmod(self.path, 0o600)
                self._file = io.FileIO(self.path, "r+")
        except OSError as error:
            raise from_system(
                error,
                f"{self.path} cannot be written",
                self.path,
                "a store needs a directory that it may write",
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise StorageError(f"{self.path} cannot be locked: {error.strerror}") from error
            holder = self._file.read(4096).decode(errors="replace").partition("\n")[0].strip()
            advice = "close it there, or open another path"
            if holder.startswith(f"process {os.getpid()} on {os.uname().nodename},"):
                advice = (
                    "this process has it open itself, perhaps through another link: use that, or close it"
                )
            raise StoreLocked(
                f"{self.path.parent} is already open for writing by {holder or 'an unknown holder'}; "
                f"{advice}",
                holder,
            ) from None
        self.before = os.pread(self._number(), 4096, 0).decode(errors="surrogateescape")

    def doubt(self) -> str | None:
        """Why the files must be checked before they are mapped, or None. Call it before `sign`."""
        if not self.before:
            return "it was moved or copied there"
        mark = StopMark.read(self.before)
        return None if mark is None else mark.doubt()

    def sign(self) -> None:
        """Write the holder into the lock file (process id, host, program and time), and that it is opening.

        It is on disk on return: if the machine goes down later, no older text may be left. Raises StoreFull.
        """
        if self._mark is not None:
            return
        since = datetime.now(UTC).isoformat(timespec="seconds")
        program = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else sys.executable
        self._mark = StopMark.opening(StopMark.read(self.before))
        self._signature = (
            f"{SIGNED}{os.getpid()} on {os.uname().nodename}, program {program}, since {since}\n"
        )
        holder = (self._signature + self._mark.line()).encode()
        try:
            # Over the text of an earlier holder: its space exists even if the disk is full.
            os.pwrite(self._number(), holder, 0)
            os.ftruncate(self._number(), len(holder))
            os.fsync(self._number())
        except OSError as error:
            raise from_system(error, f"{self.path} cannot be written", self.path) from error

    def opened(self) -> None:
        """Note that the opening is complete."""
        if self._mark is not None:
            self._note(self._mark._replace(state="open"))

    def _note(self, mark: StopMark) -> None:
        # Over a line of the same length. If it cannot be written, the next opener checks the files.
        self._mark = mark
        with suppress(OSError):
            os.pwrite(self._number(), mark.line().encode(), len(self._signature.encode()))

    def release(self) -> None:
        """Admit the next opener, and note that the store was closed properly; a second call does nothing.

        If interrupted, it can be called again.
        """
        file = self._file
        if file is not None and not file.closed:
            if self._mark is not None:
                self._leave()
            # A child that was forked while the lock was held shares it: closing alone would leave it locked.
            fcntl.flock(file, fcntl.LOCK_UN)
            file.close()
        _held.discard(self)

    def in_place(self) -> bool:
        """Whether the locked file is still the one at its path, and its directory was not replaced."""
        file = self._file
        return file is not None and not file.closed and is_at(file.fileno(), self.path)

    def moved(self) -> bool:
        """Whether the locked file is now elsewhere: its directory, or one above it, was moved or renamed."""
        file = self._file
        return file is not None and not file.closed and is_elsewhere(file.fileno(), self.path)

    def _number(self) -> int:
        assert self._file is not None
        return self._file.fileno()

    def _leave(self) -> None:
        """Note that it was closed.

        A failed opening restores the earlier text, so that the next one has the same doubt.
        """
        assert self._mark is not None
        if self._mark.state != "opening":
            self._note(self._mark._replace(state="closed"))
            return
        before = self.before.encode(errors="surrogateescape")
        with suppress(OSError):
            os.pwrite(self._number(), before, 0)
            os.ftruncate(self._number(), len(before))

    def __enter__(self) -> StoreLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def _forget(self) -> None:
        if self._file is not None:
            self._file.close()


def is_elsewhere(number: int, path: Path) -> bool:
    """Whether an open file exists, but not at `path`."""
    return os.fstat(number).st_nlink > 0 and not is_at(number, path)


def is_at(number: int, path: Path) -> bool:
    """Whether an open file is the one at `path`."""
    try:
        return os.path.samestat(os.fstat(number), os.stat(path))
    except OSError:
        return False


_held: weakref.WeakSet[StoreLock] = weakref.WeakSet()


def _forget_in_child() -> None:
    # Otherwise a forked child that outlives its parent would keep the store locked, and nobody would be using
    # it.
    for lock in list(_held):
        lock._forget()
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)
