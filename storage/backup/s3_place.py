"""A set of backups in S3-compatible storage: one object for each file, never overwritten. Any thread.

Needs the extra `s3`. Region, credentials and endpoint come from the environment, as boto3 takes them
(AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and others), or from the query of the address.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from storage.backup.backup_set import is_backup_name, is_copy_name
from storage.backup.segment_format import FOOTER
from storage.errors import InvalidBackup, StorageError, StoreLocked
from storage.files.error_translation import from_system

__all__ = ["S3Place"]

CONNECT_SECONDS, READ_SECONDS = 5.0, 20.0
"""Timeouts of every call; boto3 tries each of them `ATTEMPTS` times."""
ATTEMPTS = 3
SINGLE_BYTES = 64 << 20
"""A larger file is put in parts."""
PART_BYTES = 32 << 20
MOST_PARTS = 10_000
HEAD_BYTES = 64 << 10
"""So much from its beginning holds the header of a segment."""


class S3Place:
    """The objects below a prefix of a bucket."""

    def __init__(self, address: str) -> None:
        """Asks nothing yet. Raises ValueError for an address that is none, StorageError without boto3."""
        parts = urlsplit(address)
        options = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
        unknown = options.keys() - {"endpoint_url", "region"}
        if parts.scheme != "s3" or not parts.netloc or unknown or parts.fragment:
            raise ValueError(
                "the address of backups in S3 is s3://BUCKET/PREFIX, or "
                f"s3://BUCKET/PREFIX?endpoint_url=URL&region=NAME, not {address!r}"
            )
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError
        except ImportError as error:
            raise StorageError(
                f"{address} needs boto3: install it with `pip install onewriter[s3]`"
            ) from error
        self.address = f"s3://{parts.netloc}{parts.path.rstrip('/')}"
        self._bucket = parts.netloc
        prefix = parts.path.strip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        try:
            self._client: Any = boto3.session.Session().client(
                "s3",
                endpoint_url=options.get("endpoint_url", [None])[0],
                region_name=options.get("region", [None])[0],
                config=Config(
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=READ_SECONDS,
                    retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
                    max_pool_connections=16,
                ),
            )
        except (BotoCoreError, ValueError) as error:
            raise StorageError(f"{self.address} cannot be reached: {error}; {ADVICE}") from error

    def names(self) -> list[str]:
        """The names of all files, the oldest first. Raises StorageError."""
        return sorted(filter(is_backup_name, self._listed()))

    def copies(self) -> list[str]:
        """The names of the copies of archives. Raises StorageError."""
        return sorted(filter(is_copy_name, self._listed()))

    def _listed(self) -> list[str]:
        found: list[str] = []
        with self._translated("listed"):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
                found += [one["Key"][len(self._prefix) :] for one in page.get("Contents", ())]
        return found

    def fetch(self, name: str, target: Path) -> None:
        """Write an object to a file. Raises StorageError, StoreFull."""
        with self._translated(f"read ({name})"):
            body = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"]
            with _written(target), target.open("xb") as file:
                for chunk in body.iter_chunks(1 << 20):
                    file.write(chunk)

    def fetch_ends(self, name: str, target: Path) -> None:
        """Write a sparse file that has an object's header and end. Raises InvalidBackup, StorageError."""
        with self._translated(f"read ({name})"):
            size = self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)["ContentLength"]
            if size <= 2 * HEAD_BYTES:
                self.fetch(name, target)
                return
            footer = self._range(name, size - FOOTER.size, size)
            begins, _ = FOOTER.unpack(footer)
            if begins >= size:
                raise InvalidBackup(f"{self.address}/{name} was cut short; make a full backup")
            with _written(target), target.open("xb") as file:
                file.write(self._range(name, 0, HEAD_BYTES))
                file.seek(begins)
                file.write(self._range(name, begins, size))

    def put(self, file: Path, name: str) -> None:
        """Add an object. Raises StoreLocked if there is one of this name, StorageError."""
        key = self._prefix + name
        with self._translated(f"written ({name})"):
            size = file.stat().st_size
            if size > SINGLE_BYTES:
                self._put_parts(file, key, max(PART_BYTES, -(-size // MOST_PARTS)))
                return
            self._client.put_object(Bucket=self._bucket, Key=key, Body=file.read_bytes(), IfNoneMatch="*")

    def remove(self, name: str) -> None:
        """Remove an object. Raises StorageError."""
        with self._translated(f"removed ({name})"):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    def _put_parts(self, path: Path, key: str, part_bytes: int) -> None:
        where = {"Bucket": self._bucket, "Key": key}
        where["UploadId"] = self._client.create_multipart_upload(**where)["UploadId"]
        try:
            parts: list[dict[str, Any]] = []
            with path.open("rb") as file:
                while data := file.read(part_bytes):
                    number = len(parts) + 1
                    done = self._client.upload_part(**where, PartNumber=number, Body=data)
                    parts.append({"PartNumber": number, "ETag": done["ETag"]})
            self._client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
        except BaseException:
            # What was put of it would be paid for, and is in no list of objects.
            from contextlib import suppress

            from botocore.exceptions import BotoCoreError, ClientError

            with suppress(BotoCoreError, ClientError):
                self._client.abort_multipart_upload(**where)
            raise

    def _range(self, name: str, begin: int, end: int) -> bytes:
        got = self._client.get_object(
            Bucket=self._bucket, Key=self._prefix + name, Range=f"bytes={begin}-{end - 1}"
        )
        data: bytes = got["Body"].read()
        return data

    @contextmanager
    def _translated(self, done: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
                raise StoreLocked(
                    f"{self.address} cannot be {done}: another program has written there meanwhile; let one "
                    "alone write to a set of backups, and give the other an address of its own"
                ) from error
            raise StorageError(f"{self.address} cannot be {done}: {error}; {ADVICE}") from error
        except BotoCoreError as error:
            raise StorageError(f"{self.address} cannot be {done}: {error}; {ADVICE}") from error


ADVICE = (
    "check the address, AWS_ENDPOINT_URL, AWS_DEFAULT_REGION, the credentials, and whether the bucket exists"
)


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise from_system(error, f"{os.fspath(path)} cannot be written", path) from error
