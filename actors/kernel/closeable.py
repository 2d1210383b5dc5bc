"""`with` and `async with` for objects that are closed: the system, and what a system gives out."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from actors.kernel.lazy_asyncio import asyncio

__all__ = ["Closeable", "BlockingCloseable"]


class Closeable:
    """An object that `with` and `async with` close at the end of their block; its `close()` does
    not block.
    """

    __slots__ = ()

    def close(self) -> object:
        """The subclass says how."""
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


class BlockingCloseable(Closeable):
    """An object whose `close()` may block: `async with` calls it in another thread, so the event loop goes
    on.

    A task that is cancelled meanwhile waits for the end of `close()`, and is cancelled then.
    """

    __slots__ = ()

    def _close_waits_for_this_thread(self) -> bool:
        """Whether `close()` in another thread would wait for the current one. The subclass says."""
        return False

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._close_waits_for_this_thread():
            # Called in another thread, it would wait for this one for ever.
            self.__exit__(kind, value, trace)
            return
        closing = asyncio.ensure_future(asyncio.to_thread(self.__exit__, kind, value, trace))
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await asyncio.wait([closing])
            raise
