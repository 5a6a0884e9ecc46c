"""A complete gateway for the tests of its clients, and a database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.gateway import settings_with, started_gateway
from tests.support.postgresql import PostgreSQL, postgresql_server


@pytest.fixture(scope="session")
def gateway() -> Iterator[str]:
    """host:port of a gateway with the mock provider, which accepts anonymous callers."""
    with started_gateway(settings_with()) as target:
        yield target


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server. Skips the test if PostgreSQL is not installed."""
    with postgresql_server() as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql: PostgreSQL) -> str:
    """URL of an empty PostgreSQL database."""
    return postgresql.new_database()
