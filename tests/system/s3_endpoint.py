"""A server of S3 for tests: in a thread, or in a process that can be killed.

`python -m tests.system.s3_endpoint PORT`. It has nothing at its start, and keeps everything in memory.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

BUCKET = "copies"


def make_bucket(url: str, name: str = BUCKET) -> None:
    """Make a bucket. The environment has to have credentials, as in the block of `s3_endpoint`."""
    import boto3

    boto3.client("s3", endpoint_url=url).create_bucket(Bucket=name)


@contextmanager
def credentials() -> Iterator[None]:
    """An environment with credentials and a region, which the server does not look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield


@contextmanager
def s3_endpoint() -> Iterator[str]:
    """The URL of a server in a thread, with a bucket."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    with credentials():
        make_bucket(f"http://{host}:{port}")
        yield f"http://{host}:{port}"
    running.stop()


def main() -> None:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=int(sys.argv[1]), verbose=False)
    running.start()
    print(running.get_host_and_port()[1], flush=True)
    sys.stdin.read()
    running.stop()


if __name__ == "__main__":
    main()
