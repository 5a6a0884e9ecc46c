"""Records of the attempts of one call and what they used."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import reduce

from .usage import Cost, Usage, add_cost, add_usage

CANCELLED = "CANCELLED"
"""The reason of an attempt, or of a call, that nobody wanted any more."""


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One try at a provider: `duration` in seconds up to its first content or failure, `reason` empty on success.

    `usage` is what it took where it failed after it had begun, or lost a race; `cost` what that was worth.
    """

    provider: str
    model: str
    error_reason: str
    duration: float
    usage: Usage | None = None
    cost: Cost | None = None


@dataclass(frozen=True, slots=True)
class AttemptUsage:
    """What one attempt took: `cost` is None where no price is known."""

    provider: str
    model: str
    usage: Usage
    cost: Cost | None = None


class UsageLedger:
    """What the attempts of one call took, each entered once it has ended, however it did.

    `sendings` and `breaks` count, by provider and model, how often a question was sent and an answer broke off. A part
    of a call that goes its own way has counts of its own, and enters what it took in those of its `root`.
    """

    __slots__ = ("entries", "interruptions", "requests_sent", "root")

    def __init__(self, root: UsageLedger | None = None) -> None:
        self.root: UsageLedger = root or self
        self.entries: list[AttemptUsage] = root.entries if root else []
        self.requests_sent: Counter[tuple[str, str]] = Counter()
        self.interruptions: Counter[tuple[str, str]] = Counter()

    def usage(self) -> Usage | None:
        """The sum; None where nothing was entered."""
        return reduce(add_usage, (entry.usage for entry in self.entries)) if self.entries else None

    def cost(self) -> Cost | None:
        """The sum; None where nothing was entered, or a price is not known."""
        return reduce(add_cost, (entry.cost for entry in self.entries)) if self.entries else None
