"""Keeps retries a small share of the traffic, so that a provider in trouble is not buried under them."""

from __future__ import annotations

from collections import OrderedDict

from ..core.handler import Clock
from ..core.request import Call

MOST_SAVED = 100.0
"""What calls without retries may save up, in retries."""

PER_SECOND = 1.0
MOST_BUDGETS = 10_000


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
    """One for each provider, and for each key of a caller's own: trouble with one costs the others nothing."""

    def __init__(self, share: float, reserve: float, clock: Clock) -> None:
        self._made = (share, reserve, clock)
        self._budgets: OrderedDict[tuple[str, int], Budget] = OrderedDict()

    def of(self, call: Call, provider: str) -> Budget:
        """The budget that a call's retries at a provider come out of, made on first use; the least used go first."""
        own = call.caller.provider_keys.get(provider)
        owner = (provider, hash(own) if own else 0)
        budget = self._budgets.get(owner)
        if budget is not None:
            self._budgets.move_to_end(owner)
            return budget
        if len(self._budgets) >= MOST_BUDGETS:
            self._budgets.popitem(last=False)
        budget = self._budgets[owner] = Budget(*self._made)
        return budget
