"""A whole server for tests that need one: real gRPC on a free port, the Mock provider inside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.gateway import served, settings_with


@pytest.fixture(scope="session")
def gateway() -> Iterator[str]:
    """host:port of a running server, anonymous callers welcome, in a thread of its own."""
    with served(settings_with()) as target:
        yield target
