"""`with` and `async with` for what is closed: the system, and what a system gives out."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

__all__ = ["Block", "SlowBlock"]


class Block:
    """Closed at the end of its `with` or `async with` block, by a `close()` that waits for nothing."""

    __slots__ = ()

    def close(self) -> object:
        """For the class that is closed."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, value, trace)


class SlowBlock(Block):
    """A block whose end may have to wait: in an event loop it does so in another thread, and the loop goes on.

    A task that is cancelled meanwhile waits for the end of the closing, and is cancelled then.
    """

    __slots__ = ()

    def _is_waited_for(self) -> bool:
        """Whether the closing waits for the thread at hand, unless it is done there. For the class that is closed."""
        return False

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_waited_for():
            # The other thread would wait for this one.
            self.__exit__(kind, value, trace)
            return
        closing = asyncio.ensure_future(asyncio.to_thread(self.__exit__, kind, value, trace))
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await asyncio.wait([closing])
            raise
