"""Renders a text for everybody who waits for it, in a thread and for a bounded share of the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

MAX_SHARE = 0.1
"""Share of the time spent rendering, if requests never stop."""

MAX_PAUSE_SECONDS = 2.0
"""Longest pause between two renderings."""


class SharedRendering:
    """Render on request. Requests that arrive before a rendering begins share it, so that no result is out of date.

    A rendering begins only after a pause of nine times the duration of the previous one, at most MAX_PAUSE_SECONDS.
    """

    def __init__(self, render: Callable[[], bytes]) -> None:
        self._render = render
        self._executor = ThreadPoolExecutor(1, "metrics")
        self._lock = asyncio.Lock()
        self._next: asyncio.Future[bytes] | None = None
        self._paused_until = 0.0

    async def latest(self) -> bytes:
        """Return a text whose rendering began after this call. Raises what `render` raises."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._run())
        return await asyncio.shield(self._next)

    def close(self) -> None:
        """Cancel renderings that have not begun."""
        if self._next is not None:
            self._next.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> bytes:
        loop = asyncio.get_running_loop()
        async with self._lock:
            await asyncio.sleep(self._paused_until - loop.time())
            self._next = None
            begun_at = loop.time()
            try:
                return await loop.run_in_executor(self._executor, self._render)
            finally:
                pause = (loop.time() - begun_at) * (1 / MAX_SHARE - 1)
                self._paused_until = loop.time() + min(pause, MAX_PAUSE_SECONDS)
