"""Compares what the server says of all calls, in four places, with what callers and upstreams saw."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from aimanager.v1 import health_pb2
from tests.chaos.clients import Seen
from tests.chaos.environment import House
from tests.chaos.fault_injection import Mischief

ENDED = ("call.finished", "call.failed", "call.cancelled")
AT_THE_DOOR = ("OVERLOADED", "RATE_LIMITED")
"""Reasons of calls that may have been refused before anything counted them."""

LEAST_DOLLARS = 1e-9

NOT_SENT = ("cancelled", "DEADLINE_EXCEEDED", "OVERLOADED", "FIRST_TOKEN_TIMEOUT", "PROVIDER_UNREACHABLE")
"""How askings end that may never have reached the upstream."""


class Books:
    """All that is known of the calls of one storm."""

    def __init__(self, house: House, seen: Sequence[Seen], summary: health_pb2.MetricsRow) -> None:
        self._house = house
        self._seen = seen
        self._summary = summary
        self._records: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for line in house.lines:
            if line["event"] in ENDED:
                self._records[line["request_id"]].append(line)

    def mistakes(self, upstreams: Sequence[Mischief]) -> Iterator[str]:
        """Where the books do not balance."""
        yield from self._calls()
        yield from self._counts()
        yield from self._tokens()
        yield from self._logged()
        yield from self._attempts()
        yield from self._requests(upstreams)
        for line in self._house.lines:
            if line["event"] == "rpc.crashed":
                yield f"crashed: {line['exception'][-1500:]}"

    def _dollars(self) -> float:
        ledgers = {id(one.ledger): one.ledger for one in self._house.sendings}
        costs = [entry.cost for ledger in ledgers.values() for entry in ledger.entries]
        return sum(cost.total_nanos for cost in costs if cost is not None) / 1e9

    def ledger(self, ids: Iterable[str] | None = None) -> tuple[int, int]:
        """Tokens in and out, of these calls or of all."""
        wanted = None if ids is None else set(ids)
        ledgers = {id(one.ledger): one.ledger for one in self._house.sendings if wanted is None or one.call in wanted}
        usages = [entry.usage for ledger in ledgers.values() for entry in ledger.entries]
        return sum(one.input_tokens for one in usages), sum(one.output_tokens for one in usages)

    def _calls(self) -> Iterator[str]:
        for seen in self._seen:
            records = self._records[seen.plan.id]
            reasons = [line.get("reason", "") for line in records]
            if len(records) > 1:
                yield f"{seen.plan.id} was booked {len(records)} times: {reasons}"
            elif seen.code == "OK" and reasons != [""]:
                yield f"{seen.plan.id} was answered, and booked as {reasons}"
            elif seen.reason and reasons != [seen.reason] and (reasons or seen.reason not in AT_THE_DOOR):
                said = f"{seen.message!r} after {seen.seconds:.3f} s, {seen.plan}"
                yield f"{seen.plan.id} failed as {seen.reason}, and was booked as {reasons}: {said}"

    def _logged(self) -> Iterator[str]:
        """What the log says that a failed call took."""
        for call, records in self._records.items():
            for line in records:
                logged = line.get("input_tokens", 0), line.get("output_tokens", 0)
                if line["event"] != "call.finished" and logged != self.ledger([call]):
                    yield f"{call}: logged as {line['event']} with {logged} tokens, booked are {self.ledger([call])}"

    def _counts(self) -> Iterator[str]:
        records = [line for lines in self._records.values() for line in lines]
        booked = Counter(line.get("reason", "") for line in records)
        answered = booked.pop("", 0)
        requests, failures = (
            sample(self._house, "aimanager_requests_total"),
            sample(self._house, "aimanager_errors_total"),
        )
        latencies = sample(self._house, "aimanager_latency_seconds_count")
        said: dict[str, tuple[float, float]] = {
            "aimanager_requests_total / log": (requests, len(records)),
            "aimanager_requests_total / latency count + aimanager_errors_total": (requests, latencies + failures),
            "latency count / log": (latencies, answered),
            "GetMetricsSummary requests / log": (self._summary.requests, len(records)),
            "GetMetricsSummary failures / log": (self._summary.failures, booked.total()),
        }
        for reason, count in booked.items():
            said[f"aimanager_errors_total {reason} / log"] = (
                sample(self._house, "aimanager_errors_total", reason=reason),
                count,
            )
            said[f"GetMetricsSummary {reason} / log"] = (self._summary.failures_by_reason.get(reason, 0), count)
        for name, (one, other) in said.items():
            if one != other:
                yield f"{name}: {one:g} ≠ {other:g}"

    def _tokens(self) -> Iterator[str]:
        sent, written = self.ledger()
        said = {
            "aimanager_tokens_total input / ledgers": (
                sample(self._house, "aimanager_tokens_total", kind="input"),
                sent,
            ),
            "aimanager_tokens_total output / ledgers": (
                sample(self._house, "aimanager_tokens_total", kind="output"),
                written,
            ),
            "GetMetricsSummary input tokens / ledgers": (self._summary.input_tokens, sent),
            "GetMetricsSummary output tokens / ledgers": (self._summary.output_tokens, written),
        }
        for name, (one, other) in said.items():
            if one != other:
                yield f"{name}: {one:g} ≠ {other:g}"
        dollars = sample(self._house, "aimanager_cost_usd_total")
        if abs(dollars - self._dollars()) > LEAST_DOLLARS:
            yield f"aimanager_cost_usd_total / ledgers: {dollars:.9f} ≠ {self._dollars():.9f}"

    def untold(self) -> Iterator[str]:
        """Where callers were told of less, or more, than was booked for their call."""
        for seen in self._seen:
            whole = len(seen.attempts) == seen.attempts_said
            if seen.from_cache or not whole or (seen.code != "OK" and not seen.reason):
                continue
            told, booked = _told(seen), self.ledger([seen.plan.id])
            if told != booked:
                tried = [(one.provider, one.error_reason, one.usage.input_tokens) for one in seen.attempts]
                yield (
                    f"{seen.plan.id} ({seen.code} {seen.reason}) was told of {told} tokens, booked are {booked}: "
                    f"{tried} {seen.plan}"
                )

    def _attempts(self) -> Iterator[str]:
        counted, sent = sample(self._house, "aimanager_attempts_total"), len(self._house.sendings)
        if counted != sent:
            yield f"aimanager_attempts_total / askings of providers: {counted:g} ≠ {sent}"

    def _requests(self, upstreams: Sequence[Mischief]) -> Iterator[str]:
        for upstream in upstreams:
            askings, unsent = Counter[str](), Counter[str]()
            for one in self._house.sendings:
                if one.provider == upstream.name:
                    askings[one.call] += 1
                    unsent[one.call] += one.ended in NOT_SENT
            reached = Counter(asked.headers.get("x-client-request-id", "") for asked in upstream.requests)
            for call, count in askings.items():
                # A reset on a pooled connection looks like one that had been closed while idle: it is sent once more.
                most = count + upstream.resets[call]
                if not count - unsent[call] <= reached[call] <= most:
                    yield f"{call}: {count} askings of {upstream.name}, {reached[call]} requests reached it"
            for call in reached.keys() - askings.keys():
                yield f"{call}: {reached[call]} requests reached {upstream.name} of no asking"


def sample(house: House, name: str, **labels: str) -> float:
    """The sum of a series over the labels that are not named."""
    return sum(
        one.value
        for family in house.app.metrics.registry.collect()
        for one in family.samples
        if one.name == name and labels.items() <= one.labels.items()
    )


def _told(seen: Seen) -> tuple[int, int]:
    """The sum of all attempts. Of a call that failed, the usage is that already where there is one."""
    usages = [one.usage for one in seen.attempts if one.HasField("usage")]
    if seen.usage is not None:
        usages = [*usages, seen.usage] if seen.code == "OK" else [seen.usage]
    return sum(one.input_tokens for one in usages), sum(one.output_tokens for one in usages)
