"""Compares what the gateway reports about its calls with what callers and upstreams observed.

The gateway reports in four places: responses, log, metrics and GetMetricsSummary.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from aimanager.v1 import metrics_pb2
from aimanager_server.core.attempts import AttemptRecord
from tests.chaos.clients import Observation
from tests.chaos.environment import ObservedGateway
from tests.chaos.fault_injection import FaultInjectingUpstream

END_EVENTS = ("request.completed", "request.failed", "request.cancelled")
REJECTED_EARLY = ("OVERLOADED", "RATE_LIMITED")
"""Reasons of calls that may have been rejected before the pipeline. Only the RPC of these is logged."""

COST_TOLERANCE = 1e-9
POSSIBLY_NOT_SENT = ("cancelled", "DEADLINE_EXCEEDED", "OVERLOADED", "FIRST_TOKEN_TIMEOUT", "PROVIDER_UNREACHABLE")
"""Outcomes of provider calls whose request may not have reached the upstream."""


class Reconciliation:
    """All reports about the calls of one run."""

    def __init__(
        self, gateway: ObservedGateway, observations: Sequence[Observation], summary: metrics_pb2.MetricsRow
    ) -> None:
        self._gateway = gateway
        self._observations = observations
        self._summary = summary
        self._entries: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for entry in gateway.log:
            if entry["event"] in END_EVENTS:
                self._entries[entry["request_id"]].append(entry)
        self._rejected_early = [
            entry["reason"]
            for entry in gateway.log
            if entry["event"] == "rpc.failed"
            and "GenerationService" in entry["method"]
            and entry["request_id"] not in self._entries
        ]

    def mismatches(self, upstreams: Sequence[FaultInjectingUpstream]) -> Iterator[str]:
        """Yield a description of every contradiction between two reports."""
        yield from self._outcomes()
        yield from self._request_counts()
        yield from self._token_counts()
        yield from self._logged_tokens()
        yield from self._attempt_counts()
        yield from self._upstream_requests(upstreams)
        for entry in self._gateway.log:
            if entry["event"] == "rpc.crashed":
                yield f"rpc.crashed: {entry['exception'][-1500:]}"

    def tokens(self, request_ids: Iterable[str] | None = None) -> tuple[int, int]:
        """Return the input and output tokens of the attempts of these calls, or of all calls."""
        usages = [record.usage for record in self._attempts(request_ids) if record.usage is not None]
        return sum(usage.input_tokens for usage in usages), sum(usage.output_tokens for usage in usages)

    def unreported_tokens(self) -> Iterator[str]:
        """Yield a description of every call whose caller received other token counts than its attempts have."""
        for one in self._observations:
            has_all_attempts = len(one.attempts) == one.attempt_count
            if one.from_cache or not has_all_attempts or (one.code != "OK" and not one.reason):
                continue
            reported, recorded = _reported_tokens(one), self.tokens([one.plan.id])
            if reported != recorded:
                attempts = [(each.provider, each.error_reason, each.usage.input_tokens) for each in one.attempts]
                yield (
                    f"{one.plan.id} ({one.code} {one.reason}): reported {reported} tokens, attempts have {recorded}: "
                    f"{attempts} {one.plan}"
                )

    def _cost(self) -> float:
        costs = [record.cost for record in self._attempts() if record.cost is not None]
        return sum(cost.total_nanos for cost in costs) / 1e9

    def _attempts(self, request_ids: Iterable[str] | None = None) -> Iterator[AttemptRecord]:
        """Yield the attempts of these calls, or of all calls that reached a provider."""
        wanted = None if request_ids is None else set(request_ids)
        calls = self._gateway.provider_calls
        logs = {id(one.attempts): one.attempts for one in calls if wanted is None or one.request_id in wanted}
        for log in logs.values():
            yield from log.records

    def _outcomes(self) -> Iterator[str]:
        """Compare the outcome of each call with its log entry."""
        for one in self._observations:
            reasons = [entry.get("reason", "") for entry in self._entries[one.plan.id]]
            if len(reasons) > 1:
                yield f"{one.plan.id} was logged {len(reasons)} times: {reasons}"
            elif one.code == "OK" and reasons != [""]:
                yield f"{one.plan.id} succeeded, but was logged as {reasons}"
            elif one.reason and reasons != [one.reason] and (reasons or one.reason not in REJECTED_EARLY):
                details = f"{one.message!r} after {one.seconds:.3f} s, {one.plan}"
                yield f"{one.plan.id} failed with {one.reason}, but was logged as {reasons}: {details}"

    def _logged_tokens(self) -> Iterator[str]:
        """Compare the tokens logged for failed calls with those of their attempts."""
        for request_id, entries in self._entries.items():
            for entry in entries:
                logged = entry.get("input_tokens", 0), entry.get("output_tokens", 0)
                if entry["event"] != "request.completed" and logged != self.tokens([request_id]):
                    yield f"{request_id}: {entry['event']} has {logged} tokens, attempts {self.tokens([request_id])}"

    def _request_counts(self) -> Iterator[str]:
        entries = [entry for each in self._entries.values() for entry in each]
        logged = Counter(entry.get("reason", "") for entry in entries)
        succeeded = logged.pop("", 0)
        logged.update(self._rejected_early)
        logged_requests = succeeded + logged.total()
        requests = metric_total(self._gateway, "aimanager_requests_total")
        errors = metric_total(self._gateway, "aimanager_request_errors_total")
        durations = metric_total(self._gateway, "aimanager_request_duration_seconds_count")
        pairs: dict[str, tuple[float, float]] = {
            "aimanager_requests_total / log": (requests, logged_requests),
            "aimanager_requests_total / durations + aimanager_request_errors_total": (requests, durations + errors),
            "durations / log": (durations, succeeded),
            "GetMetricsSummary requests / log": (self._summary.requests, logged_requests),
            "GetMetricsSummary failures / log": (self._summary.failures, logged.total()),
        }
        for reason, count in logged.items():
            counted = metric_total(self._gateway, "aimanager_request_errors_total", reason=reason)
            pairs[f"aimanager_request_errors_total {reason} / log"] = (counted, count)
            pairs[f"GetMetricsSummary {reason} / log"] = (self._summary.failures_by_reason.get(reason, 0), count)
        yield from _unequal(pairs)

    def _token_counts(self) -> Iterator[str]:
        input_tokens, output_tokens = self.tokens()
        counted_input = metric_total(self._gateway, "aimanager_tokens_total", type="input")
        counted_output = metric_total(self._gateway, "aimanager_tokens_total", type="output")
        yield from _unequal(
            {
                "aimanager_tokens_total input / attempts": (counted_input, input_tokens),
                "aimanager_tokens_total output / attempts": (counted_output, output_tokens),
                "GetMetricsSummary input tokens / attempts": (self._summary.input_tokens, input_tokens),
                "GetMetricsSummary output tokens / attempts": (self._summary.output_tokens, output_tokens),
            }
        )
        cost = metric_total(self._gateway, "aimanager_cost_total")
        if abs(cost - self._cost()) > COST_TOLERANCE:
            yield f"aimanager_cost_total / attempts: {cost:.9f} ≠ {self._cost():.9f}"

    def _attempt_counts(self) -> Iterator[str]:
        counted = metric_total(self._gateway, "aimanager_upstream_attempts_total")
        yield from _unequal(
            {"aimanager_upstream_attempts_total / provider calls": (counted, len(self._gateway.provider_calls))}
        )

    def _upstream_requests(self, upstreams: Sequence[FaultInjectingUpstream]) -> Iterator[str]:
        """Compare the provider calls of each request with the requests that its upstream received."""
        for upstream in upstreams:
            sent, possibly_not_sent = Counter[str](), Counter[str]()
            for one in self._gateway.provider_calls:
                if one.provider == upstream.name:
                    sent[one.request_id] += 1
                    possibly_not_sent[one.request_id] += one.outcome in POSSIBLY_NOT_SENT
            received = Counter(request.id for request in upstream.requests)
            for request_id, count in sent.items():
                # A reset of a pooled connection looks like a stale one, so the request is sent once more.
                most = count + upstream.resets[request_id]
                if not count - possibly_not_sent[request_id] <= received[request_id] <= most:
                    yield f"{request_id}: {count} calls of {upstream.name}, which received {received[request_id]}"
            for request_id in received.keys() - sent.keys():
                yield f"{request_id}: {upstream.name} received {received[request_id]} requests without a provider call"


def metric_total(gateway: ObservedGateway, name: str, **labels: str) -> float:
    """Return the sum of a metric over all series with these labels."""
    return sum(
        sample.value
        for family in gateway.app.state.metrics.registry.collect()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def _unequal(pairs: dict[str, tuple[float, float]]) -> Iterator[str]:
    for name, (one, other) in pairs.items():
        if one != other:
            yield f"{name}: {one:g} ≠ {other:g}"


def _reported_tokens(one: Observation) -> tuple[int, int]:
    """Return the input and output tokens of all attempts. The usage of a failed call already is their sum."""
    usages = [attempt.usage for attempt in one.attempts if attempt.HasField("usage")]
    if one.usage is not None:
        usages = [*usages, one.usage] if one.code == "OK" else [one.usage]
    return sum(usage.input_tokens for usage in usages), sum(usage.output_tokens for usage in usages)
