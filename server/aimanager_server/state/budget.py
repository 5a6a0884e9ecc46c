"""Keeps retries a small share of the traffic, so that a provider in trouble is not buried under them."""

from __future__ import annotations

from ..handler import Clock

MOST_SAVED = 100.0
"""What calls without retries may save up, in retries."""

PER_SECOND = 1.0


class Budget:
    """Retries that may still be made: a `share` of the calls, a `reserve` at the start, and one a second back to it."""

    __slots__ = ("_clock", "_reserve", "_share", "_tokens", "_when")

    def __init__(self, share: float, reserve: float, clock: Clock) -> None:
        self._share = share
        self._reserve = reserve
        self._clock = clock
        self._tokens = reserve
        self._when = clock()

    def earn(self) -> None:
        """A call was made."""
        self._tokens = min(self._tokens + self._share, max(MOST_SAVED, self._reserve))

    @property
    def affordable(self) -> bool:
        """Whether one more retry is paid for."""
        now = self._clock()
        if self._tokens < self._reserve:
            self._tokens = min(self._tokens + (now - self._when) * PER_SECOND, self._reserve)
        self._when = now
        return self._tokens >= 1.0

    def spend(self) -> None:
        """A retry is made."""
        self._tokens -= 1.0


class Budgets:
    """One for each provider: trouble at one costs the others nothing."""

    def __init__(self, share: float, reserve: float, clock: Clock) -> None:
        self._made = (share, reserve, clock)
        self._budgets: dict[str, Budget] = {}

    def of(self, provider: str) -> Budget:
        """The budget of a provider, made on first use."""
        budget = self._budgets.get(provider)
        if budget is None:
            budget = self._budgets[provider] = Budget(*self._made)
        return budget
