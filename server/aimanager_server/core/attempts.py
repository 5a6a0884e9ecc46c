"""Records of the upstream attempts of one call: what each used, cost and came to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal

from .usage import Cost, Usage, add_cost, add_usage

CANCELLED = "CANCELLED"
"""Reason of an attempt or call that was cancelled."""

AttemptEffect = Literal["none", "success", "rate_limited", "failure", "credentials", "model_denied"]
"""The effect of an attempt on the health of its provider; "none" for cancellations and the caller's own errors."""


class AttemptRecord:
    """One attempt, written once when it ends and read by everybody who needs to know.

    `caller` is the name of the caller, empty if anonymous.
    `affects_health` tells whether the outcome counts for the provider's health: its circuit breakers, the quarantine of
    its keys, its retry budget and the statistics that routing uses. A provider that injects faults for a caller clears
    it.
    `started_at`, `sent_at`, `first_content_at` and `ended_at` are seconds on the monotonic clock, None before they
    happen; an attempt that was never sent does not count towards `max_attempts`. `error_reason` is empty on success and
    while the attempt is in progress, `solution` the advice of its error. `cost` is None if the price is unknown.
    """

    __slots__ = (
        "affects_health", "caller", "cost", "effect", "ended_at", "error_reason", "first_content_at", "is_interrupted",
        "is_streamed", "key_id", "model", "provider", "sent_at", "solution", "started_at", "usage",
    )  # fmt: skip

    def __init__(self, provider: str, model: str, started_at: float, *, is_streamed: bool = False) -> None:
        self.provider = provider
        self.model = model
        self.key_id = ""
        self.caller = ""
        self.started_at = started_at
        self.first_content_at: float | None = None
        self.ended_at: float | None = None
        self.is_streamed = is_streamed
        self.sent_at: float | None = None
        self.is_interrupted = False
        self.error_reason = ""
        self.solution = ""
        self.affects_health = True
        self.effect: AttemptEffect = "none"
        self.usage: Usage | None = None
        self.cost: Cost | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Return provider and model."""
        return self.provider, self.model

    @property
    def duration(self) -> float:
        """Return the seconds up to the first content, or to the end if none arrived; 0 while waiting for either."""
        reached = self.ended_at if self.first_content_at is None else self.first_content_at
        return 0.0 if reached is None else reached - self.started_at

    def end(self, now: float, error_reason: str = "", usage: Usage | None = None, cost: Cost | None = None) -> None:
        """Record the end; only the first call counts."""
        if self.ended_at is None:
            self.ended_at, self.error_reason, self.usage, self.cost = now, error_reason, usage, cost

    @property
    def latency(self) -> float:
        """Return the seconds from sending the request to the end; 0 if either has not happened."""
        return 0.0 if self.sent_at is None or self.ended_at is None else self.ended_at - self.sent_at

    @property
    def time_to_first_token(self) -> float | None:
        """Return the seconds from sending a streamed request to its first content; None without either."""
        if not self.is_streamed or self.sent_at is None or self.first_content_at is None:
            return None
        return self.first_content_at - self.sent_at

    def reject(self, error_reason: str) -> None:
        """Record that the answer arrived but cannot be used."""
        self.error_reason = error_reason


class AttemptLog:
    """The attempts of one call, oldest first.

    A branch of a call, such as one batch of embeddings, has its own log; its records are those of the parent too.
    """

    __slots__ = ("_parent", "records")

    def __init__(self, parent: AttemptLog | None = None) -> None:
        self._parent = parent
        self.records: list[AttemptRecord] = []

    @property
    def root(self) -> AttemptLog:
        """Return the log of the whole call."""
        return self if self._parent is None else self._parent

    def start(self, provider: str, model: str, now: float, *, is_streamed: bool = False) -> AttemptRecord:
        """Return the record of a new attempt."""
        record = AttemptRecord(provider, model, now, is_streamed=is_streamed)
        self.records.append(record)
        if self._parent is not None:
            self._parent.records.append(record)
        return record

    def move_last(self, record: AttemptRecord) -> None:
        """Make a record the last one: of attempts that ran side by side, the one whose response is used."""
        for log in (self, self._parent):
            if log is not None:
                log.records.remove(record)
                log.records.append(record)

    def requests_sent(self, key: tuple[str, str]) -> int:
        """Return how many requests were sent to a provider and model."""
        return sum(record.sent_at is not None and record.key == key for record in self.records)

    def interruptions(self, key: tuple[str, str]) -> int:
        """Return how many responses of a provider and model were interrupted after their first content."""
        return sum(record.is_interrupted and record.key == key for record in self.records)

    def usage(self) -> Usage | None:
        """Return the total usage; None if no attempt has any."""
        return total_usage(self.records)

    def cost(self) -> Cost | None:
        """Return the total cost; None if no attempt has any usage or a price is unknown."""
        return total_cost(self.records)


def total_usage(records: Sequence[AttemptRecord]) -> Usage | None:
    """Return the usage of some attempts; None if none has any."""
    usages = [record.usage for record in records if record.usage is not None]
    return reduce(add_usage, usages) if usages else None


def total_cost(records: Sequence[AttemptRecord]) -> Cost | None:
    """Return the cost of some attempts; None if none has any usage or a price is unknown."""
    costs = [record.cost for record in records if record.usage is not None]
    return reduce(add_cost, costs) if costs else None
