"""A clock that tests control."""

from __future__ import annotations


class FakeClock:
    """A clock that advances only on request. Sleeping on it advances it; `sleeps` lists the seconds slept."""

    def __init__(self, start: float = 1000.0) -> None:
        self.time = start
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += seconds

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.advance(seconds)
