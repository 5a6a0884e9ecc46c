"""The faults of providers, callers and the machine that the gateway must handle, and the tests that cover them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

Test = TypeVar("Test", bound=Callable[..., Any])

SCENARIOS: Mapping[int, str] = MappingProxyType(
    {
        1: "429 with Retry-After",
        2: "429 that persists, without Retry-After",
        3: "every form of retry advice",
        4: "a single 500, 502, 503 or 504",
        5: "529, or an overload error with status 200",
        6: "401, 402, or a 403 about the credentials, for one of several keys",
        7: "context too long, content filter",
        8: "connection reset before the headers, after the headers, after output",
        9: "request accepted, no response",
        10: "slow first token",
        11: "bytes, comments or pings without content",
        12: "stream interrupted after 40 of 60 tokens",
        13: "stream stalled after 20 tokens",
        14: "a malformed event",
        15: "every legal framing of server-sent events",
        16: "characters split across chunks, invalid bytes",
        17: "end marker missing or duplicated, data after it",
        18: "usage missing, duplicated, cumulative, misplaced or zero",
        19: "tool call fragments with irregular indices",
        20: "status 200 with an invalid response",
        21: "very large, endless or fragmented responses",
        22: "unresolvable host, no route, connection refused",
        23: "invalid certificates, failed TLS handshakes",
        24: "stale pooled connections, exhausted connection pool",
        25: "fallbacks that lack a required capability",
        26: "flapping primary",
        27: "cancellation by the caller, in every phase",
        28: "Retry-After beyond the deadline",
        29: "slow consumer",
        30: "external store slow, down or wrong",
        31: "server restarts under load",
        32: "invalid configuration at runtime",
        33: "system clock steps",
        34: "blocked event loop",
        35: "thundering herds and retry storms",
        36: "403 for the content of one request, or for one model",
        37: "content after a finish reason, in an older or unexpected shape, or lost",
        38: "retry advice that has expired when the call fails",
        39: "deadline of the caller in mid-stream",
    }
)

NOT_APPLICABLE: Mapping[int, str] = MappingProxyType(
    {
        30: "The server keeps all state in memory and has no external store.",
        32: "The configuration is read once at startup.",
    }
)
"""Scenarios that cannot occur with this server, with the reason."""


def scenario(*numbers: int) -> Callable[[Test], Test]:
    """Mark a test with the numbers of the scenarios it covers."""

    def mark(test: Test) -> Test:
        test.scenarios = numbers  # type: ignore[attr-defined]
        return test

    return mark
