"""The saved state of a memory build: one file, always replaced as a whole, used only if it is intact.

State that the codec cannot encode is not saved: such a build is filled from the log at each opening. The
replica's thread.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from storage.codec.codec import Codec
from storage.errors import CodecError
from storage.files.error_translation import LIMITS, limit_reached
from storage.tables.schema import ObjectSchema

__all__ = ["SavedState", "SavedStateFile"]

logger = logging.getLogger("onewriter.memory")

FILE = "objects.saved"
_TITLE = b"onewriter objects 1\n"

_WRAPPED = (dict, list, set, deque)
"""Sets, and subclasses of these types: saved as a dict or list, loaded by filling what the factory makes."""


@dataclass(frozen=True, slots=True)
class SavedState:
    """The values by name, the checkpoint that they belong to, and the digest of the event there, if known."""

    values: dict[str, Any]
    checkpoint: int
    digest: bytes = b""


class SavedStateFile:
    """Saves one build's objects in `directory`, and loads them."""

    def __init__(self, directory: Path, objects: Mapping[str, ObjectSchema], codec: Codec) -> None:
        self._file = directory / FILE
        self._build = directory.name
        self._objects = objects
        self._codec = codec
        self.size = 0
        self.possible = True

    def load(self) -> SavedState | None:
        """The last saved state; None if there is none, or if it cannot be used, which is logged."""
        try:
            data = self._file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in LIMITS:
                raise limit_reached(error.errno, f"{self._file} cannot be read") from error
            logger.warning("%s cannot be read (%s); the objects are filled from the log", self._file, error)
            return None
        try:
            head, payload = data[: len(_TITLE) + 4], data[len(_TITLE) + 4 :]
            if head != _TITLE + crc32(payload).to_bytes(4):
                raise CodecError("it is cut short, or damaged")
            build, checkpoint, plain, *digest = self._codec.decode(payload)  # earlier versions had no digest
            if build != self._build:
                raise CodecError(f"it belongs to {build}")
            values = {name: self._unwrapped(name, value) for name, value in plain.items()}
            saved = SavedState(values, int(checkpoint), bytes(digest[0]) if digest else b"")
        except (CodecError, ValueError, TypeError, AttributeError) as error:
            logger.warning("%s cannot be used (%s); the objects are filled from the log", self._file, error)
            return None
        self.size = len(data)
        return saved

    def save(
        self, values: Mapping[str, Any], checkpoint: int, digest: bytes = b"", *, durable: bool = False
    ) -> None:
        """Replace the file; wait for the disk if `durable`.

        A failure is logged, and nothing is lost by it.
        """
        if not self.possible:
            return
        try:
            plain = {name: self._wrapped(name, value) for name, value in values.items()}
            if not self._codec.faithful(plain):
                raise CodecError("one would be loaded as another value: a zone as its offset, for example")
            payload = self._codec.pack([self._build, checkpoint, plain, *([digest] if digest else [])])
        except CodecError as error:
            self.possible = False
            logger.warning(
                "the objects of %s are not saved, since the codec cannot store one of them (%s); they are "
                "filled from the log at each opening",
                self._build,
                error,
            )
            self._file.unlink(missing_ok=True)
            return
        fresh = self._file.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                file.write(_TITLE + crc32(payload).to_bytes(4) + payload)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            fresh.replace(self._file)
        except OSError as error:
            if error.errno in LIMITS:
                raise limit_reached(error.errno, f"{self._file} cannot be read") from error
            logger.warning("%s cannot be saved (%s); what is missing is read from the log", self._file, error)
            fresh.unlink(missing_ok=True)
            return
        self.size = len(payload)

    def _wrapped(self, name: str, value: Any) -> Any:
        """The form in which a value is saved. Raises `CodecError` if it would be loaded as another value."""
        made = self._objects[name].factory()
        if not _is_wrapped(made) and not _is_wrapped(value):
            return value
        if type(value) is type(made):
            if getattr(value, "maxlen", None) == getattr(made, "maxlen", None) and not getattr(
                value, "__dict__", None
            ):
                return _form(value)(value)
        elif not _is_wrapped(value) and type(value) is not _form(made):
            return value
        raise CodecError(f"{name!r} is now a different {type(value).__name__} from what its factory makes")

    def _unwrapped(self, name: str, value: Any) -> Any:
        schema = self._objects.get(name)
        if schema is None:
            return value
        made = schema.factory()
        if not _is_wrapped(made) or type(value) is not _form(made):
            return value
        if isinstance(made, dict | set):
            made.update(value)
        else:
            made.extend(value)
        return made


def _is_wrapped(value: Any) -> bool:
    return isinstance(value, _WRAPPED) and type(value) not in (dict, list)


def _form(value: Any) -> type[dict[Any, Any]] | type[list[Any]]:
    return dict if isinstance(value, dict) else list
