"""asyncio, imported when it is first used: a program without an event loop starts without it, and without all
that it brings along. Any thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["asyncio"]

if TYPE_CHECKING:
    import asyncio
else:

    class _Asyncio:
        """Has each name of asyncio that was used, so that it is found as fast as in the module."""

        def __getattr__(self, name: str) -> Any:
            import asyncio

            found = getattr(asyncio, name)
            setattr(self, name, found)
            return found

    asyncio = _Asyncio()
