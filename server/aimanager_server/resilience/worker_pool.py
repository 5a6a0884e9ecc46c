"""Run blocking functions in threads of one purpose, fairly by caller."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Job:
    """One function to run, and the future of its result."""

    __slots__ = ("caller", "future", "work")

    def __init__(self, caller: str, work: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        self.caller = caller
        self.work = work
        self.future = future


class WorkerPool:
    """Run at most `max_threads` functions at a time, and at most `max_threads_per_caller` of one caller.

    The others wait, and callers take turns. A running function cannot be cancelled: it occupies its thread until it
    returns. The threads are daemons, so that one that hangs does not keep the process alive; the event loop's default
    executor, which everything shares, is not used. Belongs to one event loop. The number of waiting functions is not
    limited here: each belongs to a call in flight. `turns`, if given, is entered around each function.
    """

    def __init__(
        self,
        name: str,
        max_threads: int,
        max_threads_per_caller: int,
        turns: AbstractContextManager[object] | None = None,
    ) -> None:
        self._name = name
        self._turns = turns or nullcontext()
        self._max_threads = max_threads
        self._max_threads_per_caller = max_threads_per_caller
        self._running: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[_Job]] = OrderedDict()
        self._handed_over: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads = 0

    @property
    def waiting(self) -> int:
        """Number of functions that wait for a thread."""
        return sum(map(len, tuple(self._waiting.values())))

    async def run(self, caller: str, work: Callable[[], Result]) -> Result:
        """Return the result of the function, which runs in a thread. Raises what it raises."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        job = _Job(caller, work, future)
        self._waiting.setdefault(caller, deque()).append(job)
        self._start_next()
        try:
            return await future
        finally:
            self._withdraw(job)

    def close(self) -> None:
        """End the idle threads now, and the others when their function returns."""
        for _ in range(self._threads):
            self._handed_over.put(None)
        self._threads = 0

    def _start_next(self) -> None:
        """Start the next function of the first caller in turn that is below its share, if a thread is free."""
        if self._running.total() >= self._max_threads:
            return
        for caller, jobs in self._waiting.items():
            if self._running[caller] < self._max_threads_per_caller:
                job = jobs.popleft()
                self._waiting.move_to_end(caller)
                self._discard_if_empty(caller)
                self._running[caller] += 1
                self._hand_over(job)
                return

    def _hand_over(self, job: _Job) -> None:
        if self._threads < self._running.total():
            self._threads += 1
            loop = job.future.get_loop()
            Thread(target=self._work, args=(loop,), name=self._name, daemon=True).start()
        self._handed_over.put(job)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run jobs, in a thread, until the pool is closed."""
        while (job := self._handed_over.get()) is not None:
            result: Any = None
            error: BaseException | None = None
            try:
                with self._turns:
                    result = job.work()
            # Belongs to the caller of `run`, whatever it is.
            except BaseException as raised:
                error = raised
            # The event loop may be closed by now.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._finish, job, result, error)
            del job, result, error

    def _finish(self, job: _Job, result: Any, error: BaseException | None) -> None:
        self._running[job.caller] -= 1
        if not self._running[job.caller]:
            del self._running[job.caller]
        if not job.future.done():
            if error is None:
                job.future.set_result(result)
            else:
                job.future.set_exception(error)
        self._start_next()

    def _withdraw(self, job: _Job) -> None:
        """Remove a job whose caller no longer waits, if it has not started."""
        jobs = self._waiting.get(job.caller)
        if jobs is not None and job in jobs:
            jobs.remove(job)
            self._discard_if_empty(job.caller)

    def _discard_if_empty(self, caller: str) -> None:
        if not self._waiting[caller]:
            del self._waiting[caller]
