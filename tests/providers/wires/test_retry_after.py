"""Retry delays in every form that providers use."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from aimanager_server.providers.wires.retry_after import (
    MAX_SECONDS,
    NEVER_RETRY,
    retry_after_from_body,
    retry_after_from_headers,
    retry_after_from_message,
)

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
SERVER_TIME = {"date": "Sun, 22 Nov 2026 13:00:00 GMT"}


HEADERS: list[tuple[dict[str, str], float | None]] = [
    ({}, None),
    ({"retry-after": "0"}, 0.0),
    ({"retry-after": "2"}, 2.0),
    ({"retry-after": "1.5"}, 1.5),
    ({"retry-after": "-3"}, 0.0),
    ({"retry-after": "86400"}, 86400.0),
    ({"retry-after": "soon"}, None),
    ({"retry-after": ""}, None),
    ({"retry-after": "1e300"}, MAX_SECONDS),
    ({"retry-after": "Sun, 22 Nov 9026 12:00:30 GMT"}, MAX_SECONDS),
    ({"retry-after": "nan"}, None),
    ({"retry-after": "inf"}, None),
    ({"retry-after": "1, 4"}, 4.0),
    ({"retry-after": "4, 1"}, 4.0),
    ({"retry-after": "soon, 4"}, 4.0),
    ({"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT, Sun, 22 Nov 2026 12:00:10 GMT"}, 30.0),
    ({"retry-after": "2, Sun, 22 Nov 2026 12:00:10 GMT"}, 10.0),
    ({"retry-after": "20, Sun, 22 Nov 2026 12:00:10 GMT"}, 20.0),
    ({"retry-after-ms": "250, 500"}, 0.5),
    ({"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT"}, 30.0),
    ({"retry-after": "Sun, 22 Nov 2026 11:59:00 GMT"}, 0.0),
    ({"retry-after": "Sun, 22 Nov 2026 12:00:30"}, 30.0),
    ({"retry-after": "Sun, 99 Nov 2026 12:00:30 GMT"}, None),
    ({"retry-after": "Sun, 22 Nov 2026 13:00:09 GMT", **SERVER_TIME}, 9.0),
    ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
    ({"x-ms-retry-after-ms": "1500"}, 1.5),
    ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
    ({"x-should-retry": "false", "retry-after": "1"}, NEVER_RETRY),
    ({"x-should-retry": "true"}, None),
]

ERROR_FIELDS: list[tuple[dict[str, object], float | None]] = [
    ({}, None),
    ({"retry_after": 2.5}, 2.5),
    ({"retryAfter": "3"}, 3.0),
    ({"retry_after_ms": 1500}, 1.5),
    ({"retry_after": -1}, 0.0),
    ({"retry_after": True}, None),
    ({"retry_after": float("nan")}, None),
    ({"retry_after": [2], "retry_after_seconds": 4}, 4.0),
]

MESSAGES: list[tuple[str, float | None]] = [
    ("Rate limit reached. Please try again in 6s. Visit https://x.test", 6.0),
    ("Please try again in 20ms.", 0.02),
    ("Please try again in 7m12.345s.", 432.345),
    ("try again in 1h2m", 3720.0),
    ("Please retry after 2 seconds.", 2.0),
    ("Please retry in 1.5 min", 90.0),
    ("Please try again in 5 apples", None),
    ("Please try again later", None),
    ("In 6s we try", None),
    ("", None),
]


def test_retry_after_headers_are_parsed() -> None:
    parsed = [(headers, retry_after_from_headers(headers, NOW)) for headers, _ in HEADERS]

    assert parsed == HEADERS


def test_retry_delay_fields_are_parsed() -> None:
    parsed = [(error, retry_after_from_body(error)) for error, _ in ERROR_FIELDS]

    assert [seconds for _, seconds in parsed] == [seconds for _, seconds in ERROR_FIELDS]


def test_retry_delays_in_messages_are_parsed() -> None:
    parsed = [retry_after_from_message(message) for message, _ in MESSAGES]

    assert parsed == [pytest.approx(seconds) if seconds is not None else None for _, seconds in MESSAGES]
