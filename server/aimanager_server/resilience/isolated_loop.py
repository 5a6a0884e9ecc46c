"""Run third-party code on an event loop in a separate thread, so that it cannot block the server."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from weakref import WeakSet

from ..core.errors import GatewayError

RESPONSE_TIMEOUT_SECONDS = 2.0
"""How long the event loop may be unresponsive before it counts as blocked."""

MAX_LOOPS = 8
"""Event loops that third-party code may block; after that it is disabled."""

SHUTDOWN_TIMEOUT_SECONDS = 1.0

Loop = asyncio.AbstractEventLoop
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Isolated:
    """The code that is isolated, for errors and logs.

    `kind` and `name` are what a reader knows it by, such as "Plug-in" and "acme"; `table` is the section of the
    settings that enables it. `on_failed` receives what it raised, unless `translate` returns an error for it, and
    `on_blocked` is called for each loop that it blocked.
    """

    kind: str
    name: str
    table: str
    error: type[GatewayError]
    on_failed: Callable[[BaseException | None], None]
    on_blocked: Callable[[], None]
    translate: Callable[[BaseException], GatewayError | None] = lambda error: None

    def failure(self, text: str, solution: str = "") -> GatewayError:
        """Return the error whose message begins with the name of the code."""
        return self.error(f"{self.kind} {self.name!r} {text}", solution=solution)


class IsolatedLoop:
    """Run coroutines of one plug-in or extension on its event loop. A blocked loop is replaced on the next call.

    The threads are daemons and never keep the process alive. Code that holds the GIL cannot be isolated.
    """

    def __init__(
        self,
        isolated: Isolated,
        response_timeout: float = RESPONSE_TIMEOUT_SECONDS,
        shutdown_timeout: float = SHUTDOWN_TIMEOUT_SECONDS,
    ) -> None:
        self._isolated = isolated
        self._response_timeout = response_timeout
        self._shutdown_timeout = shutdown_timeout
        self._loop: Loop | None = None
        self._thread: threading.Thread | None = None
        self._thread_ended = asyncio.Event()
        self._loops_started = 0
        self._stopped_loops: WeakSet[Loop] = WeakSet()
        self._closed = False

    async def run(
        self, work: Callable[[], Awaitable[Result]], loop: Loop | None = None, timeout_seconds: float | None = None
    ) -> Result:
        """Return the result of `work`, run on `loop` or the current event loop.

        Raises the GatewayError of the code unchanged, TimeoutError if it takes longer than `timeout_seconds`, and
        `Isolated.error` for everything else. Cancellation takes effect immediately, even if the code ignores it.
        """
        used = loop or self._current_loop()
        running = self._schedule(work, used)
        future = asyncio.wrap_future(running)
        late_at = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        wait = min(self._response_timeout, timeout_seconds or self._response_timeout)
        try:
            while not (await asyncio.wait({future}, timeout=wait))[0]:
                if not await self._is_responsive(used):
                    self._abandon(used)
                    seconds = self._response_timeout
                    raise self._isolated.failure(f"blocked its event loop for more than {seconds:g} s.")
                if late_at is not None and (wait := min(late_at - time.monotonic(), self._response_timeout)) <= 0:
                    raise TimeoutError
            if future.cancelled():
                raise self._isolated.failure("cancelled its own call.")
            if isinstance(future.exception(), GeneratorExit):
                raise self._failure(future.exception())
            return future.result()
        finally:
            if not used.is_closed():
                running.cancel()

    def submit(self, work: Callable[[], Awaitable[None]], loop: Loop) -> None:
        """Run `work` on `loop` without waiting for it. Does nothing if the loop has stopped."""
        with contextlib.suppress(self._isolated.error):
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
            raise self._isolated.failure("is closed.")
        if self._loops_started == MAX_LOOPS:
            raise self._isolated.failure(
                f"is disabled: it blocked or stopped its event loop {MAX_LOOPS} times.",
                f"Remove it from [{self._isolated.table}], or report the bug to its author. "
                "Restarting the server re-enables it.",
            )
        self._loops_started += 1
        self._loop = asyncio.new_event_loop()
        self._thread_ended = asyncio.Event()
        signal_end = partial(asyncio.get_running_loop().call_soon_threadsafe, self._thread_ended.set)
        self._thread = threading.Thread(
            target=_run_loop,
            args=(self._loop, self._discard, self._shutdown_timeout, signal_end),
            name=f"{self._isolated.kind.lower()}-{self._isolated.name}",
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
            raise self._isolated.failure("stopped its event loop.") from error

    async def _is_responsive(self, loop: Loop) -> bool:
        response: concurrent.futures.Future[None] = concurrent.futures.Future()
        try:
            loop.call_soon_threadsafe(response.set_result, None)
        except RuntimeError:
            return False
        return bool((await asyncio.wait({asyncio.wrap_future(response)}, timeout=self._response_timeout))[0])

    def _abandon(self, loop: Loop) -> None:
        self._isolated.on_blocked()
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
        # Third-party code may raise anything, even SystemExit.
        except BaseException as error:
            raise (self._isolated.translate(error) or self._failure(error)) from error

    def _failure(self, error: BaseException | None) -> GatewayError:
        self._isolated.on_failed(error)
        kind = self._isolated.kind.lower()
        return self._isolated.failure(
            f"failed with {type(error).__name__}.",
            f"Report the bug to the {kind}'s author. The server log contains the traceback.",
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
