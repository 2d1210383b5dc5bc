"""What a run was made on, for the head of its tables and for its file of results."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sqlite3
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lmdb

PACKAGES = ("onewriter", "pykka", "lmdb", "msgpack", "eventsourcing", "umadb")


def machine() -> str:
    """Versions and processors, in one line."""
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"no {package}")
    engine = ".".join(str(part) for part in lmdb.version())
    return (
        f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.system()} "
        f"{platform.machine()}; {', '.join(versions)} (LMDB {engine})"
    )


def disk(folder: Path) -> str:
    """How many appended pages a second this disk makes durable: the floor under one caller's figures."""
    kind = _file_system(folder)
    warning = "; no disk: what is said of durability below does not hold here" if kind == "tmpfs" else ""
    rate = 1 / fsync_seconds(folder)
    return f"Data on {kind}, {rate:,.0f} fsyncs of an appended 4 KiB page a second{warning}"


def fsync_seconds(folder: Path, count: int = 200) -> float:
    """How long it takes on average to append a page to a file of this folder and make it durable."""
    with (folder / "fsync").open("wb", buffering=0) as file:
        started = time.perf_counter()
        for _ in range(count):
            file.write(bytes(4096))
            os.fsync(file.fileno())
        return (time.perf_counter() - started) / count


def environment(folder: Path) -> dict[str, str]:
    """What a report says of the machine: names and what is there."""
    return {
        "versions": machine(),
        "processor": _first("/proc/cpuinfo", "model name"),
        "memory": _first("/proc/meminfo", "MemTotal"),
        "system": platform.platform(),
        "interpreter": f"{platform.python_implementation()} {platform.python_version()}, "
        f"{'with' if _has_gil() else 'without'} a GIL, "
        f"thread switch interval {sys.getswitchinterval() * 1e3:g} ms",
        "SQLite": sqlite3.sqlite_version,
        "disk": disk(folder),
        "load when it began": ", ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _has_gil() -> bool:
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def _first(file: str, name: str) -> str:
    """What the first line of this name says."""
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "unknown")


def _file_system(folder: Path) -> str:
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "an unknown file system"
    inside = [(len(point), kind) for point, kind in mounts if folder.is_relative_to(point)]
    return max(inside)[1] if inside else "an unknown file system"


def write_results(folder: Path, name: str, settings: Mapping[str, Any], figures: Any, table: str) -> Path:
    """Write `name`.json and the Markdown table `name`.md into the folder; returns the first."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(table + "\n")
    path = folder / f"{name}.json"
    content = {"machine": machine(), "settings": dict(settings), "figures": figures}
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; all columns but the first are figures."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
