"""The faults that a provider, a caller or a machine can have, and which tests show what comes of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

Test = TypeVar("Test", bound=Callable[..., Any])

SCENARIOS: Mapping[int, str] = MappingProxyType(
    {
        1: "429 with Retry-After",
        2: "429 without advice, again and again",
        3: "every form of retry advice",
        4: "500, 502, 503 or 504 once",
        5: "529, and an overload told inside a 200",
        6: "401, 402 or 403 on one of several keys",
        7: "context too long, content filter",
        8: "a reset before the headers, after them, after output",
        9: "accepted, then silence",
        10: "a slow first token",
        11: "bytes, comments or pings without content",
        12: "cut after 40 of 60 tokens",
        13: "a stall after 20 tokens",
        14: "one malformed event",
        15: "events split and framed in every legal way",
        16: "characters split across chunks, invalid bytes",
        17: "no end marker, two of them, data after it",
        18: "usage missing, twice, cumulative, misplaced, zero",
        19: "fragments of tool calls, badly numbered",
        20: "something other than an answer in a 200",
        21: "huge, endless and crumbled answers",
        22: "no address, no route, no listener",
        23: "certificates and handshakes that fail",
        24: "stale and exhausted connections",
        25: "fallbacks that cannot do what is needed",
        26: "a primary that flaps",
        27: "a caller that cancels, in every phase",
        28: "advice to wait beyond the deadline",
        29: "a slow consumer",
        30: "a store that is slow, down or wrong",
        31: "restarts under load",
        32: "a bad configuration pushed live",
        33: "steps of the clock",
        34: "a blocked event loop",
        35: "herds and storms",
    }
)

NOT_MET: Mapping[int, str] = MappingProxyType(
    {
        30: "The server keeps everything in its own memory: there is no store beside it.",
        32: "The configuration is read once, at the start: nothing can be pushed live.",
    }
)
"""Those that this server cannot meet, and why."""


def scenario(*numbers: int) -> Callable[[Test], Test]:
    """Say which of SCENARIOS a test is about."""

    def mark(test: Test) -> Test:
        test.scenarios = numbers  # type: ignore[attr-defined]
        return test

    return mark
