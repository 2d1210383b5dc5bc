"""A store's header, inside its environment: kind, history and format. Read before anything else.

Any thread.
"""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import lmdb
import msgpack
from lmdb.verify import VerifyError, verify

from storage.errors import DamagedStore, NewerFormat, NotAStore
from storage.files.damage import damaged_records
from storage.files.environment import DATA_FILE
from storage.files.error_translation import translate
from storage.files.store_lock import is_signed

__all__ = [
    "ARCHIVES_FORMAT",
    "CHECKED_FORMAT",
    "FORMAT_VERSION",
    "HEADER_KEY",
    "META_DB",
    "Header",
    "check_length",
    "read_header",
    "write_header",
]

FORMAT_VERSION = 3
"""The version of everything in a store; raised if older programs could no longer read it."""

ARCHIVES_FORMAT = 4
"""The version of a log that has archives; one without them stays as older programs read it."""

CHECKED_FORMAT = 3
"""The first format whose headers and records have checksums, and whose logs have a chain."""

_CHECKED = ("format", "kind", "history_id", "created")

KINDS = ("log", "replica")
META_DB = b"meta"
HEADER_KEY = b"header"


class Header(NamedTuple):
    """What a store says about itself. `kind` is "log" or "replica"; `history_id` is that of its history.

    `first_id` is that of the history that a restored log continues, empty for its own.
    """

    kind: str
    history_id: str
    created: datetime
    format: int = FORMAT_VERSION
    first_id: str = ""

    @property
    def first_history_id(self) -> str:
        """The id with which the history began: that of the log of which the first backup was made."""
        return self.first_id or self.history_id

    @classmethod
    def new(cls, kind: str, history_id: str | None = None) -> Header:
        """Return the header of a store created now; it starts a new history unless one is given."""
        return cls(kind, history_id or uuid.uuid4().hex, datetime.now(UTC))


def write_header(transaction: lmdb.Transaction, meta: lmdb._Database, header: Header) -> None:
    """Write the header into the database `meta` within a write transaction."""
    fields: dict[str, object] = {
        "format": header.format,
        "kind": header.kind,
        "history_id": header.history_id,
        "created": header.created.isoformat(),
    }
    if header.first_id:
        fields["first_id"] = header.first_id
    if header.format >= CHECKED_FORMAT:
        fields["check"] = _check(fields)
    transaction.put(HEADER_KEY, msgpack.packb(fields), db=meta)


def _check(fields: dict[str, object]) -> int:
    """The checksum of a header's other fields."""
    names = (*_CHECKED, "first_id") if "first_id" in fields else _CHECKED
    return crc32(msgpack.packb([fields[name] for name in names]))


def check_length(environment: lmdb.Environment) -> None:
    """Raise DamagedStore if the data file has lost its end; call it before anything reads the file.

    Reading a page beyond the end of a mapped file kills the process.
    """
    data = Path(environment.path()) / DATA_FILE
    pages = environment.info()["last_pgno"] + 1
    if data.stat().st_size >= pages * environment.stat()["psize"]:
        return
    # Pages that one transaction took and gave back may be missing at the end of an intact file. Only the slow
    # check, which reads the file without mapping it, can distinguish that.
    try:
        findings = verify(os.fspath(data), subdir=False)  # type: ignore[no-untyped-call]
    except VerifyError as error:
        findings = [error]
    if findings:
        raise DamagedStore(f"{data} has lost its end ({findings[0]}); restore a backup")


def read_header(environment: lmdb.Environment, kind: str, *, length: bool = True) -> Header | None:
    """Return the header of a store, or None if the environment is empty; writes nothing.

    Without `length` the file's end is not checked: a process that has it open for writing has done so.

    Raises NewerFormat for a store of a newer version; NotAStore for an environment of another program or of
    another kind; DamagedStore for a data file that was cut short, and for an unreadable header in a directory
    where a store was opened before.
    """
    path = environment.path()
    if length:
        check_length(environment)
    try:
        with environment.begin() as transaction:
            if environment.stat()["entries"] == 0:
                return None
            meta = environment.open_db(META_DB, txn=transaction, create=False)
            data = transaction.get(HEADER_KEY, db=meta)
    except (lmdb.NotFoundError, lmdb.IncompatibleError) as error:
        raise _no_header(path, error) from error
    except lmdb.Error as error:
        raise translate(error, f"reading the header of {path}") from error
    try:
        with damaged_records(path, ""):
            fields = msgpack.unpackb(data or b"")
            version = int(fields["format"])
            if version > ARCHIVES_FORMAT:
                raise NewerFormat(
                    f"{path} has format {version}, this program reads up to {ARCHIVES_FORMAT}; "
                    "open it with the newer version that wrote it"
                )
            stored_kind = str(fields["kind"])
            if stored_kind not in KINDS:
                raise ValueError(f"a store of kind {stored_kind!r}")
            if version >= CHECKED_FORMAT and fields["check"] != _check(fields):
                raise ValueError("its checksum is wrong")
            created = datetime.fromisoformat(fields["created"])
            header = Header(stored_kind, fields["history_id"], created, version, fields.get("first_id", ""))
            if not (isinstance(header.history_id, str) and isinstance(header.first_id, str)):
                raise TypeError(f"a history {header.history_id!r}")
    except DamagedStore as error:
        raise _no_header(path, error.__cause__) from error
    if stored_kind != kind:
        raise NotAStore(f"{path} holds a {stored_kind}, not a {kind}; choose another path")
    return header


def _no_header(path: str, error: BaseException | None) -> NotAStore | DamagedStore:
    """The error for an environment without a header of ours, which may be another program's."""
    if not is_signed(path):
        return NotAStore(f"{path} is an LMDB environment of another program; choose another path")
    return DamagedStore(
        f"{path} was a store, but its header cannot be read any more ({error or 'it is missing'}): it is "
        "damaged; restore a backup"
    )
