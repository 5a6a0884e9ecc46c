"""Limits retries to a share of the requests, so that retries do not overload a failing provider."""

from __future__ import annotations

from collections import OrderedDict

from ..config.resilience import RetrySettings
from ..core.handler import Clock
from ..core.request import Call

MAX_TOKENS = 100.0
"""Retries that requests without retries may accumulate."""
REFILL_PER_SECOND = 1.0
MAX_BUDGETS = 10_000


class RetryBudget:
    """Token bucket of retries.

    Starts with `budget_burst` tokens. Each request adds `budget_ratio` tokens; below `budget_burst`, each second adds
    one.
    """

    __slots__ = ("_burst", "_clock", "_ratio", "_refilled_at", "_tokens")

    def __init__(self, settings: RetrySettings, clock: Clock) -> None:
        self._ratio = settings.budget_ratio
        self._burst = float(settings.budget_burst)
        self._clock = clock
        self._tokens = self._burst
        self._refilled_at = clock()

    def reconfigure(self, settings: RetrySettings) -> None:
        """Change the ratio and the burst; tokens beyond a lower burst expire as requests add new ones."""
        self._ratio = settings.budget_ratio
        self._burst = float(settings.budget_burst)
        self._tokens = min(self._tokens, max(MAX_TOKENS, self._burst))

    def deposit(self) -> None:
        """Add the share of one request."""
        self._tokens = min(self._tokens + self._ratio, max(MAX_TOKENS, self._burst))

    @property
    def allows_retry(self) -> bool:
        """Return whether one more retry is within the budget."""
        now = self._clock()
        if self._tokens < self._burst:
            self._tokens = min(self._tokens + (now - self._refilled_at) * REFILL_PER_SECOND, self._burst)
        self._refilled_at = now
        return self._tokens >= 1.0

    def withdraw(self) -> None:
        """Spend one retry. Check `allows_retry` first."""
        self._tokens -= 1.0


class RetryBudgets:
    """One retry budget per provider and per key that a caller brought, so that one failing key affects no other."""

    def __init__(self, settings: RetrySettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._budgets: OrderedDict[tuple[str, int], RetryBudget] = OrderedDict()

    @property
    def entries(self) -> int:
        """Number of budgets."""
        return len(self._budgets)

    def reconfigure(self, settings: RetrySettings) -> None:
        """Change the settings of all budgets. What they contain stays."""
        self._settings = settings
        for budget in self._budgets.values():
            budget.reconfigure(settings)

    def get(self, call: Call, provider: str) -> RetryBudget:
        """Return the budget for the call's retries at a provider, created on first use.

        Above MAX_BUDGETS the least recently used budget is dropped.
        """
        caller_key = call.caller.provider_keys.get(provider)
        owner = (provider, hash(caller_key) if caller_key else 0)
        budget = self._budgets.get(owner)
        if budget is not None:
            self._budgets.move_to_end(owner)
            return budget
        if len(self._budgets) >= MAX_BUDGETS:
            self._budgets.popitem(last=False)
        budget = self._budgets[owner] = RetryBudget(self._settings, self._clock)
        return budget
