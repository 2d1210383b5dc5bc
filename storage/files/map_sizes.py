"""How large the memory map of a file is that nobody gave a size for. The opener's thread.

A map is address space, of which a process has 128 TiB on most machines, and it can't grow while anybody reads
through it. So the first stores get room for a lot, and once half of the address space is used, each one gets
a small share of what is left. A store that is opened again gets a map that suits what its file has become.
"""

from __future__ import annotations

import os
import resource
from functools import lru_cache

__all__ = ["LARGEST_MAP", "SMALLEST_MAP", "chosen_map_size", "map_size_here", "what_is_used_up"]

LARGEST_MAP = 1 << 40
"""1 TiB, unless the file is larger than half of it."""

SMALLEST_MAP = 1 << 30
SHARE_OF_PLENTY = 8
"""While more than half of the address space is unused, a map takes at most this part of what is left."""

SHARE_OF_THE_REST = 1024
"""Afterwards. Of 64 TiB, 2,000 more maps leave 9 TiB, and 4,000 leave 1.3 TiB."""

USUAL_BITS = 47
NEARLY_ALL = 0.98
"""Of the mappings that a process may have: threads and libraries need some when LMDB is refused one."""


def chosen_map_size(total: int, used: int, file_size: int) -> int:
    """The bytes of a map: `total` and `used` are of the process's address space, `file_size` of the file.

    It is a power of two, and at least twice the size of the file.
    """
    left = max(total - used, 0)
    share = SHARE_OF_PLENTY if left > total // 2 else SHARE_OF_THE_REST
    size = 1 << max(left // share, 1).bit_length() - 1
    enough = 1 << max(2 * file_size - 1, 1).bit_length()
    return max(min(size, LARGEST_MAP), SMALLEST_MAP, enough)


def map_size_here(file: str | os.PathLike[str]) -> int:
    """The bytes of a map for `file` in this process, at this moment; the file need not exist."""
    try:
        size = os.stat(file).st_size
    except OSError:
        size = 0
    return chosen_map_size(_address_space(), _used(), size)


def what_is_used_up() -> str:
    """Why a map was refused, and what to do, as the end of a sentence."""
    most, mappings = _number_in("/proc/sys/vm/max_map_count"), _lines_of("/proc/self/maps")
    if most and mappings > most * NEARLY_ALL:
        return (
            f"the process has {mappings:,} of {most:,} memory mappings; close other stores, or raise the "
            "limit (sysctl vm.max_map_count)"
        )
    used, soft = _used(), resource.getrlimit(resource.RLIMIT_AS)[0]
    if soft != resource.RLIM_INFINITY:
        return (
            f"no address space is left, {used:,} of {soft:,} bytes are used; close other stores, raise the "
            "limit (ulimit -v), or open the store with a smaller map_size"
        )
    return (
        f"no address space is left, {used:,} bytes are used; close other stores, or open stores with a "
        "smaller map_size"
    )


def _address_space() -> int:
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    machine = _machine_address_space()
    return machine if soft == resource.RLIM_INFINITY else min(soft, machine)


@lru_cache(1)
def _machine_address_space() -> int:
    """How much the processor and the kernel allow: the stack begins at its end."""
    try:
        with open("/proc/self/stat", "rb") as file:
            stack = int(file.read().rpartition(b")")[2].split()[25])
    except (OSError, ValueError, IndexError):
        stack = 0
    return 1 << (stack.bit_length() if stack >> 32 else USUAL_BITS)


def _used() -> int:
    """The address space that the process uses, in bytes; 0 where the system does not say."""
    return _number_in("/proc/self/statm") * resource.getpagesize()


def _number_in(file: str) -> int:
    try:
        with open(file, "rb") as opened:
            return int(opened.read().split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def _lines_of(file: str) -> int:
    try:
        with open(file, "rb") as opened:
            return opened.read().count(b"\n")
    except OSError:
        return 0
