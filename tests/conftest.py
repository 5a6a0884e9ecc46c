"""A complete gateway for the tests of its clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.gateway import settings_with, started_gateway


@pytest.fixture(scope="session")
def gateway() -> Iterator[str]:
    """host:port of a gateway with the mock provider, which accepts anonymous callers."""
    with started_gateway(settings_with()) as target:
        yield target
