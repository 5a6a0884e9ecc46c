"""Run plug-in code on an event loop in a separate thread, so that it cannot block the server."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar
from weakref import WeakSet

import httpx

from ...core.errors import GatewayError, ProviderInternalError
from ...telemetry.logger import get_logger
from ..http.connection_errors import from_httpx_error

RESPONSE_TIMEOUT_SECONDS = 2.0
"""How long the event loop may be unresponsive before it counts as blocked."""

MAX_LOOPS = 8
"""Event loops that a plug-in may block; after that it is disabled."""

SHUTDOWN_TIMEOUT_SECONDS = 1.0

Loop = asyncio.AbstractEventLoop
Result = TypeVar("Result")


class PluginLoop:
    """Run coroutines of one plug-in on its event loop. A blocked loop is abandoned and replaced on the next call.

    The threads are daemons and never keep the process alive. Code that holds the GIL cannot be isolated.
    """

    def __init__(
        self,
        name: str,
        response_timeout: float = RESPONSE_TIMEOUT_SECONDS,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT_SECONDS,
    ) -> None:
        self._name = name
        self._response_timeout = response_timeout
        self._shutdown_timeout = shutdown_timeout
        self._loop: Loop | None = None
        self._thread: threading.Thread | None = None
        self._thread_ended = asyncio.Event()
        self._loops_started = 0
        self._stopped_loops: WeakSet[Loop] = WeakSet()
        self._closed = False
        self._log = get_logger()

    async def run(self, work: Callable[[], Awaitable[Result]], loop: Loop | None = None) -> Result:
        """Return the result of `work`, run on `loop` or the current event loop.

        Raises the GatewayError of the plug-in unchanged, the GatewayError that corresponds to a failed connection if
        the plug-in raises httpx's exception, and ProviderInternalError for everything else. Cancellation
        takes effect immediately, even if the plug-in ignores it.
        """
        used = loop or self._current_loop()
        running = self._schedule(work, used)
        future = asyncio.wrap_future(running)
        try:
            while not (await asyncio.wait({future}, timeout=self._response_timeout))[0]:
                if not await self._is_responsive(used):
                    self._abandon(used)
                    raise ProviderInternalError(
                        f"Plug-in {self._name!r} blocked its event loop for more than {self._response_timeout:g} s."
                    )
            if future.cancelled():
                raise ProviderInternalError(f"Plug-in {self._name!r} cancelled its own call.")
            if isinstance(future.exception(), GeneratorExit):
                raise self._failure(future.exception())
            return future.result()
        finally:
            if not used.is_closed():
                running.cancel()

    def submit(self, work: Callable[[], Awaitable[None]], loop: Loop) -> None:
        """Run `work` on `loop` without waiting for it. Does nothing if the loop has stopped."""
        with contextlib.suppress(ProviderInternalError):
            self._schedule(work, loop)

    async def aclose(self) -> None:
        """Cancel all running work and stop the thread, unless it is blocked."""
        self._closed = True
        loop, thread, self._loop = self._loop, self._thread, None
        if loop is not None and thread is not None:
            with contextlib.suppress(RuntimeError):  # already stopped
                loop.call_soon_threadsafe(loop.stop)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * self._shutdown_timeout):
                    await self._thread_ended.wait()
                    thread.join()  # it does nothing more

    def _current_loop(self) -> Loop:
        if self._loop is not None and not self._loop.is_closed():
            return self._loop
        if self._closed:
            raise ProviderInternalError(f"Plug-in {self._name!r} is closed.")
        if self._loops_started == MAX_LOOPS:
            raise ProviderInternalError(
                f"Plug-in {self._name!r} is disabled: it blocked or stopped its event loop {MAX_LOOPS} times.",
                solution="Remove it from [plugins], or report the bug to its author. "
                "Restarting the server re-enables it.",
            )
        self._loops_started += 1
        self._loop = asyncio.new_event_loop()
        self._thread_ended = asyncio.Event()
        signal_end = partial(asyncio.get_running_loop().call_soon_threadsafe, self._thread_ended.set)
        self._thread = threading.Thread(
            target=_run_loop,
            args=(self._loop, self._discard, self._shutdown_timeout, signal_end),
            name=f"plugin-{self._name}",
            daemon=True,
        )
        self._thread.start()
        return self._loop

    def _schedule(self, work: Callable[[], Awaitable[Result]], loop: Loop) -> concurrent.futures.Future[Result]:
        coroutine = self._translate_errors(work)
        try:
            if loop in self._stopped_loops:
                raise RuntimeError("the event loop is stopped")
            return asyncio.run_coroutine_threadsafe(coroutine, loop)
        except RuntimeError as error:
            coroutine.close()
            raise ProviderInternalError(f"Plug-in {self._name!r} stopped its event loop.") from error

    async def _is_responsive(self, loop: Loop) -> bool:
        response: concurrent.futures.Future[None] = concurrent.futures.Future()
        try:
            loop.call_soon_threadsafe(response.set_result, None)
        except RuntimeError:
            return False
        return bool((await asyncio.wait({asyncio.wrap_future(response)}, timeout=self._response_timeout))[0])

    def _abandon(self, loop: Loop) -> None:
        self._log.error("plugin.blocked", plugin=self._name)
        self._discard(loop)
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(loop.stop)  # takes effect if the loop ever becomes responsive again

    def _discard(self, loop: Loop) -> None:
        self._stopped_loops.add(loop)
        if self._loop is loop:
            self._loop = None

    async def _translate_errors(self, work: Callable[[], Awaitable[Result]]) -> Result:
        try:
            return await work()
        except (GatewayError, asyncio.CancelledError, GeneratorExit):  # GeneratorExit also closes abandoned coroutines
            raise
        except httpx.TransportError as error:
            raise from_httpx_error(error) from error
        # Plug-in code may raise anything, even SystemExit.
        except BaseException as error:
            raise self._failure(error) from error

    def _failure(self, error: BaseException | None) -> ProviderInternalError:
        error_name = type(error).__name__
        self._log.error("plugin.failed", plugin=self._name, error=error_name, exc_info=error)
        return ProviderInternalError(
            f"Plug-in {self._name!r} failed with {error_name}.",
            solution="Report the bug to the plug-in's author. The server log contains the traceback.",
        )


def _run_loop(
    loop: Loop,
    discard: Callable[[Loop], None],
    shutdown_timeout: float,
    signal_end: Callable[[], object],
) -> None:
    asyncio.set_event_loop(loop)
    with contextlib.suppress(SystemExit, KeyboardInterrupt):  # raised by a task that the plug-in started
        loop.run_forever()
    discard(loop)
    try:
        loop.run_until_complete(asyncio.sleep(0))  # starts work that was scheduled earlier, so that it can be cancelled
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=shutdown_timeout))
    finally:
        loop.close()
        with contextlib.suppress(RuntimeError):  # the server's event loop is closed
            signal_end()
