"""Runs code of others on an event loop in a thread of its own, so that it can stall nobody but itself."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar
from weakref import WeakSet

import structlog

from ...core.errors import GatewayError, ProviderInternalError

PULSE_SECONDS = 2.0
"""How long the loop may take no turn before it counts as blocked."""

MOST_LOOPS = 8
"""Loops that may be used up; then the code is not run any more."""

PARTING_SECONDS = 1.0

Loop = asyncio.AbstractEventLoop
Result = TypeVar("Result")


class Seclusion:
    """One such loop at a time: where the code blocks it, it is left behind, and the next call gets a new one.

    Threads never keep the process from ending. Code that holds the interpreter's lock cannot be kept apart.
    """

    def __init__(self, name: str, pulse: float = PULSE_SECONDS) -> None:
        self._name = name
        self._pulse = pulse
        self._loop: Loop | None = None
        self._thread: threading.Thread | None = None
        self._loops = 0
        self._ended: WeakSet[Loop] = WeakSet()
        self._closed = False
        self._log = structlog.get_logger()

    async def run(self, work: Callable[[], Awaitable[Result]], loop: Loop | None = None) -> Result:
        """What the work gives, on the loop given or else the current one.

        Raises its Faults as they are, and ProviderFailed for all else it may do wrong. Cancelling gives the work up at
        once; whether it notices is its own affair.
        """
        used = loop or self._current()
        running = self._start(work, used)
        future = asyncio.wrap_future(running)
        try:
            while not (await asyncio.wait({future}, timeout=self._pulse))[0]:
                if not await self._beats(used):
                    self._leave(used)
                    raise ProviderInternalError(f"The plug-in {self._name!r} blocks: its event loop takes no turn.")
            if future.cancelled():
                raise ProviderInternalError(f"The plug-in {self._name!r} gave the call up by itself.")
            if isinstance(future.exception(), GeneratorExit):
                raise self._failure(future.exception())
            return future.result()
        finally:
            if not used.is_closed():
                running.cancel()

    def submit(self, work: Callable[[], Awaitable[None]], loop: Loop) -> None:
        """Have the work done on a loop without waiting for it; nothing where that loop has ended."""
        with contextlib.suppress(ProviderInternalError):
            self._start(work, loop)

    async def aclose(self) -> None:
        """Cancel what runs, and end the thread, unless it is blocked."""
        self._closed = True
        loop, thread, self._loop = self._loop, self._thread, None
        if loop is not None and thread is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(loop.stop)
            await asyncio.to_thread(thread.join, 2 * PARTING_SECONDS)

    def _current(self) -> Loop:
        if self._loop is not None and not self._loop.is_closed():
            return self._loop
        if self._closed:
            raise ProviderInternalError(f"The plug-in {self._name!r} is closed.")
        if self._loops == MOST_LOOPS:
            raise ProviderInternalError(
                f"The plug-in {self._name!r} blocked too often and is not run any more.",
                solution="Take it out of [plugins], or have its author mend it; a restart gives it another chance.",
            )
        self._loops += 1
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=_serve, args=(self._loop, self._forget), name=f"plugin-{self._name}", daemon=True
        )
        self._thread.start()
        return self._loop

    def _start(self, work: Callable[[], Awaitable[Result]], loop: Loop) -> concurrent.futures.Future[Result]:
        guarded = self._guarded(work)
        try:
            if loop in self._ended:
                raise RuntimeError("the loop takes no more")
            return asyncio.run_coroutine_threadsafe(guarded, loop)
        except RuntimeError as error:
            guarded.close()
            raise ProviderInternalError(f"The plug-in {self._name!r} ended its event loop.") from error

    async def _beats(self, loop: Loop) -> bool:
        beat: concurrent.futures.Future[None] = concurrent.futures.Future()
        try:
            loop.call_soon_threadsafe(beat.set_result, None)
        except RuntimeError:
            return False
        return bool((await asyncio.wait({asyncio.wrap_future(beat)}, timeout=self._pulse))[0])

    def _leave(self, loop: Loop) -> None:
        self._log.error("plugin.blocked", plugin=self._name)
        self._forget(loop)
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(loop.stop)  # should it ever take a turn again

    def _forget(self, loop: Loop) -> None:
        self._ended.add(loop)
        if self._loop is loop:
            self._loop = None

    async def _guarded(self, work: Callable[[], Awaitable[Result]]) -> Result:
        try:
            return await work()
        except (GatewayError, asyncio.CancelledError, GeneratorExit):  # the last also ends what was left behind
            raise
        # Code of others may raise anything, even what would end the process; here is the border to it.
        except BaseException as error:
            raise self._failure(error) from error

    def _failure(self, error: BaseException | None) -> ProviderInternalError:
        kind = type(error).__name__
        self._log.error("plugin.failed", plugin=self._name, error=kind, exc_info=error)
        return ProviderInternalError(
            f"The plug-in {self._name!r} failed with {kind}.",
            solution="Report it to the plug-in's author: the server's log has more.",
        )


def _serve(loop: Loop, forget: Callable[[Loop], None]) -> None:
    asyncio.set_event_loop(loop)
    with contextlib.suppress(SystemExit, KeyboardInterrupt):  # raised by a task that the code started
        loop.run_forever()
    forget(loop)
    try:
        loop.run_until_complete(asyncio.sleep(0))  # whatever was handed over before begins, so that it can be cancelled
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=PARTING_SECONDS))
    finally:
        loop.close()
