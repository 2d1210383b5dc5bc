"""The errors of the storage package; the rest of the product extends the same tree. Any thread.

Every message says what happened, to what (path, stream, position, field), and what to do. Catch
`StorageError` for anything that the storage raises, or `OnewriterError` for anything that this product
raises.
"""

from __future__ import annotations


class OnewriterError(Exception):
    """The root of every error that this product raises on purpose."""


class StorageError(OnewriterError):
    """Something the storage could not do."""


# -- opening a store -----------------------------------------------------------------------------------------
class StoreLocked(StorageError):
    """Another opener, in this process or another one, holds the store for writing.

    `holder` describes it: process id, host, program and start time, as the holder wrote them.
    """

    def __init__(self, message: str, holder: str = "") -> None:
        super().__init__(message)
        self.holder = holder


class NotAStore(StorageError):
    """The path holds something that is not a store of this kind; nothing in it was touched."""


class NewerFormat(StorageError):
    """The store was written by a newer version of this product; nothing in it was touched."""


class OtherEngine(NewerFormat):
    """The file was written by an LMDB engine whose format this program does not read; it was not touched."""


class DamagedStore(StorageError):
    """The store's files exist but cannot be read as a store. `position` is that of a damaged event."""

    position: int | None = None


class StoreReadOnly(StorageError):
    """The store's path cannot be written: its permissions or its file system forbid it."""


class LimitReached(StorageError):
    """The process, or the machine, has run out of something: open files, threads, processes or memory.

    Nothing is wrong with the store: raise the limit that the message names, or close other users of it.
    """


# -- using a store -------------------------------------------------------------------------------------------
class StoreClosed(StorageError):
    """The store was used after it was closed."""


class SnapshotClosed(StorageError):
    """A snapshot was used after it was closed."""


class FilesGone(StorageError):
    """A file of an open store was removed, or the store was moved, and a read has to open the file again."""


class StoreFull(StorageError):
    """The map or the disk is full. Nothing of the transaction was written; reading goes on."""


class CommitFailed(StorageError):
    """A commit failed, and whether it is on disk is unknown: reopen the store and check before writing again.

    `errno` is the system's error number, or None if the database gave none; `reason` is what failed, and why.
    """

    def __init__(self, message: str, errno: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.errno = errno
        self.reason = reason or message


class OutOfOrder(StorageError):
    """A batch does not continue the log: its positions, versions or command ids. Nothing was written."""


class CorrectionRefused(StorageError):
    """A correction changes what it must not, or events that are not as it expects. Nothing was written."""


class ArchiveRefused(StorageError):
    """Events can't be moved to an archive, or an archive can't be removed, as it was asked for.

    Nothing was written.
    """


class ArchiveUnavailable(StorageError):
    """An archive's file, in which events are that were moved out of the log, is missing, damaged or another.

    `archive` is its number, `position` that of the event that was to be read, where they are known.
    """

    def __init__(self, message: str, archive: int = 0, position: int | None = None) -> None:
        super().__init__(message)
        self.archive = archive
        self.position = position


class EventsRemoved(StorageError):
    """A stream's state needs events whose archive was removed. `position` is that of the first of them."""

    def __init__(self, message: str, stream: str = "", archive: int = 0, position: int = 0) -> None:
        super().__init__(message)
        self.stream = stream
        self.archive = archive
        self.position = position


class InvalidKey(StorageError):
    """A name or key value that cannot be stored as a key: empty, of a wrong type, or with a NUL in it."""


class KeyTooLong(InvalidKey):
    """A name or key value longer than a key may be."""


class RowMissing(StorageError):
    """A row that was to be changed is not in its table."""


class StatementRefused(StorageError):
    """A read model gave SQLite a statement that is reserved for the engine.

    Such are a COMMIT, an ATTACH, and a write in a query.
    """


# -- encoding and decoding -----------------------------------------------------------------------------------
DECLARE_AGAIN = "declare the class again, or say formerly= / write an upcaster"
"""What to do about stored values whose class is not known, or whose fields do not fit it."""


def lacks_code(error: str) -> bool:
    """Whether the text of an error says that the code no longer fits stored values, which code can change."""
    return DECLARE_AGAIN in error


class CodecError(StorageError):
    """A value could not be encoded, or stored bytes could not be decoded."""


class DamagedRow(DamagedStore, CodecError):
    """A stored row or key of a table cannot be decoded: it was damaged, or the class of a value changed."""


class UnregisteredType(CodecError):
    """An instance of a class that is not registered with the codec was to be encoded."""


class UnknownType(CodecError):
    """Stored bytes name a type that is not registered with the codec."""


class UpcastFailed(CodecError):
    """An upcaster failed, or returned what cannot be read as the next version; the message names it."""


class UnreadableSeal(CodecError):
    """An encrypted value of a personal field can't be read, although nobody has destroyed its key.

    The key is in no key store of this system, or the stored bytes are damaged or were moved there.
    """


class UnencodableValue(CodecError):
    """A value inside a message is of a type that has no encoding; the message gives the path to it."""


class DuplicateTypeName(CodecError):
    """Two classes were registered under one name, or one class under two."""


class MessageTooLarge(CodecError):
    """An encoded message is longer than the codec allows. `size` and `limit` are in bytes."""

    def __init__(self, message: str, size: int = 0, limit: int = 0) -> None:
        super().__init__(message)
        self.size = size
        self.limit = limit


# -- keys of personal fields ---------------------------------------------------------------------------------
class KeysUnavailable(StorageError):
    """The keys of personal fields can't be had: no master key, a wrong one, or the key store is missing."""


class DamagedKeys(DamagedStore):
    """The key store's files exist but can't be read as a key store. Nothing in them was changed."""


# -- export and import ---------------------------------------------------------------------------------------
class InvalidExport(StorageError):
    """A file that is to be imported is not what an export writes; nothing was made. `line` counts from 1."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


# -- backups -------------------------------------------------------------------------------------------------
class InvalidBackup(StorageError):
    """A folder or file is not what a backup writes, or it is damaged or cut short; nothing was made of it."""


# -- tables --------------------------------------------------------------------------------------------------
class InvalidSchema(StorageError):
    """The description of a table or a read model is invalid, or an index does not exist."""


class InvalidPageToken(StorageError):
    """A page token was not given by this table and index: it is garbled, or it belongs to another query."""
