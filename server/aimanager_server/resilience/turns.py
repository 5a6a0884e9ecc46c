"""Let threads that compute take turns, since only one of them can run Python code at a time anyway."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from threading import Lock, get_ident
from typing import Self


class Turns:
    """A lock that is passed on in the order of requests. Safe to use from any thread.

    A holder calls `pause` after a short piece of work: it sleeps while it still holds the turn, so that the event loop
    finds the interpreter free, and then lets the next thread run.
    """

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._mutex = Lock()
        self._waiting: deque[Lock] = deque()
        self._is_taken = False
        self._holder: int | None = None

    def __enter__(self) -> Self:
        self._take()
        self._holder = get_ident()
        return self

    def __exit__(self, *_: object) -> None:
        with self._mutex:
            self._holder = None
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_taken = False

    def pause(self, seconds: float) -> None:
        """Sleep, let the next thread run, and return once it is this thread's turn again.

        Returns at once in a thread that does not hold the turn: it has none to pass on.
        """
        if self._holder != get_ident():
            return
        self._sleep(seconds)
        self.__exit__()
        self.__enter__()

    def _take(self) -> None:
        """Return once the turn is free, or was passed on to this thread."""
        with self._mutex:
            if not self._is_taken:
                self._is_taken = True
                return
            gate = Lock()
            gate.acquire()
            self._waiting.append(gate)
        gate.acquire()
