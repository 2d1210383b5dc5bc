"""UmaDB: its server as a child process on a port of this machine, one client a caller thread."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgpack
import umadb

from benchmarks.domain import Command, ListProduct
from benchmarks.peers.base import CommandPeer, time_callers

START_TIMEOUT = 20.0
STOP_TIMEOUT = 5.0
# The body of the package's own `umadb` script, run by this interpreter wherever scripts are installed.
SERVER = "from umadb.umadb_server_cli import main; main()"


class UmaDbCommands(CommandPeer):
    """One `append` a command, refused if the product has an event that its caller has not seen.

    A caller knows its own products' states, as each product has one caller; so nothing is read back.
    """

    promises = (
        "its server's own group commit with fsync; append condition on the product's tag; "
        "states in the client"
    )
    server: subprocess.Popen[bytes] | None = None

    def setup(self, folder: Path) -> None:
        self.url = f"127.0.0.1:{_free_port()}"
        with (folder / "server.log").open("wb") as output:
            self.server = subprocess.Popen(
                [sys.executable, "-c", SERVER, "--listen", self.url, "--db-path", str(folder / "uma.db")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if self.server.poll() is not None:
                text = (folder / "server.log").read_text(errors="replace").strip()
                raise RuntimeError(f"the UmaDB server stopped with code {self.server.returncode}: {text}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"the UmaDB server did not answer on {self.url} in {START_TIMEOUT:.0f} s")
            time.sleep(0.02)

    def _answers(self) -> bool:
        with contextlib.suppress(umadb.TransportError, ConnectionError, RuntimeError):
            return umadb.Client(f"http://{self.url}").check_health() == umadb.ServingStatus.SERVING
        return False

    def commands(self, shares: Sequence[Sequence[Command]]) -> float:
        clients = [umadb.Client(f"http://{self.url}") for _ in shares]
        for client in clients:
            client.head()  # connects, before the clock starts
        try:
            return time_callers(shares, [handler(client) for client in clients])
        finally:
            for client in clients:
                client.close()

    def written(self) -> int:
        return umadb.Client(f"http://{self.url}").head() or 0

    def close(self) -> None:
        if self.server is None:
            return
        self.server.terminate()
        try:
            self.server.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait(STOP_TIMEOUT)


def handler(client: umadb.Client) -> Callable[[Command], object]:
    """What carries out the commands of one caller: decides on states in memory and appends; one thread."""
    products: dict[str, tuple[int, int]] = {}

    def carry_out(command: Command) -> None:
        data: tuple[str | int, ...]
        known = products.get(command.sku)
        if isinstance(command, ListProduct):
            if known is not None:
                raise ValueError(f"{command.sku} is listed already")
            kind, data = "ProductListed", (command.sku, command.name, command.price)
        else:
            if known is None:
                raise ValueError(f"no product {command.sku}")
            if known[0] == command.price:
                return
            kind, data = "PriceChanged", (command.sku, command.price)
        tags = [f"product-{command.sku}"]
        position = client.append(
            [umadb.Event(kind, msgpack.packb(data), tags)],
            umadb.AppendCondition(umadb.Query([umadb.QueryItem(tags=tags)]), known[1] if known else None),
        )
        products[command.sku] = (command.price, position)

    return carry_out


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
