"""Every form in which a provider asks us to wait."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from aimanager_server.providers.retry_advice import NEVER, retry_after

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
SERVER_TIME = {"date": "Sun, 22 Nov 2026 13:00:00 GMT"}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "86400"}, 86400.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1, 4"}, 4.0),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 11:59:00 GMT"}, 0.0),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:30"}, 30.0),
        ({"retry-after": "Sun, 99 Nov 2026 12:00:30 GMT"}, None),
        ({"retry-after": "Sun, 22 Nov 2026 13:00:09 GMT", **SERVER_TIME}, 9.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"x-ms-retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"x-should-retry": "false", "retry-after": "1"}, NEVER),
        ({"x-should-retry": "true"}, None),
    ],
)
def test_advice_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds
