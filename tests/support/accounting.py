"""The accounting layer with metrics and recording subscribers, on a fake clock."""

from __future__ import annotations

from aimanager_server.core.attempts import AttemptRecord
from aimanager_server.core.handler import AttemptHandler, compose
from aimanager_server.core.usage import Cost
from tests.support.clock import FakeClock
from tests.support.layers import accounting_layer, new_metrics
from tests.support.metrics import sample_value

PRICE = Cost(2_000_000_000, 500_000_000)
TARGET_LABELS = {"provider": "mock", "model": "mock-large"}


class Subscriber:
    """Records its notifications, with the end of the attempt as known at that moment."""

    def __init__(self, name: str, notes: list[tuple[str, str, AttemptRecord, float | None]]) -> None:
        self._name = name
        self._notes = notes

    def attempt_started(self, record: AttemptRecord) -> None:
        self._notes.append((self._name, "started", record, record.ended_at))

    def attempt_ended(self, record: AttemptRecord) -> None:
        self._notes.append((self._name, "ended", record, record.ended_at))


class AccountingSetup:
    """The layer around an upstream; every attempt costs `price`."""

    def __init__(self, price: Cost | None = PRICE) -> None:
        self.clock = FakeClock()
        self.metrics = new_metrics()
        self.notes: list[tuple[str, str, AttemptRecord, float | None]] = []
        subscribers = (self.metrics, Subscriber("first", self.notes), Subscriber("second", self.notes))
        self.layer = accounting_layer(lambda provider, model, usage: price, self.clock, subscribers)

    def over(self, upstream: AttemptHandler) -> AttemptHandler:
        return compose((self.layer,), upstream)

    def attempts(self, outcome: str) -> float:
        return sample_value(
            self.metrics.registry, "aimanager_upstream_attempts_total", **TARGET_LABELS, outcome=outcome
        )

    def tokens(self, kind: str) -> float:
        return sample_value(self.metrics.registry, "aimanager_tokens_total", **TARGET_LABELS, type=kind)

    @property
    def notified(self) -> list[tuple[str, str]]:
        return [(name, what) for name, what, _, _ in self.notes]
