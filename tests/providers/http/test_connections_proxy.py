"""Through a proxy where the operator says so, and nowhere else; TLS goes through it to the provider itself."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from aimanager_server.core.errors import ProviderUnreachable, ProviderUntrusted
from aimanager_server.core.handler import Provider
from aimanager_server.providers.factory import open_provider
from tests.support.chat_completions import LIMITS, connected, settings
from tests.support.http_servers.proxy import connect_proxy
from tests.support.http_servers.raw import RawServer, raw_server
from tests.support.pool_requests import SAID, TEXT, said_by, whole

BASE_URL = "https://provider.test/v1"


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return made


@asynccontextmanager
async def upstream(authority: trustme.CA, name: str = "provider.test") -> AsyncIterator[RawServer]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    async with raw_server((TEXT,), tls=context) as server:
        yield server


@asynccontextmanager
async def opened(**more: Any) -> AsyncIterator[Provider]:
    provider = open_provider("upstream", settings(**more), LIMITS)
    try:
        yield provider
    finally:
        await provider.aclose()


@pytest.fixture(autouse=True)
def _no_proxy_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def test_a_tunnel_of_the_environment_is_used_where_the_operator_says_so(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with upstream(authority) as server, connect_proxy(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with opened(base_url=BASE_URL, use_proxy=True, ca_file=tmp_path / "ca.pem") as provider:
            assert await said_by(await provider(whole())) == SAID

    assert proxy.asked == ["CONNECT provider.test:443 HTTP/1.1"]


async def test_a_proxy_of_the_environment_is_left_alone_where_the_operator_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with raw_server((TEXT,)) as server, connect_proxy(server.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        async with opened(base_url=server.url) as provider:
            assert await said_by(await provider(whole())) == SAID

    assert proxy.asked == []


async def test_a_certificate_is_verified_through_a_tunnel_too(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with upstream(authority, "elsewhere.test") as server, connect_proxy(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with opened(base_url=BASE_URL, use_proxy=True, ca_file=tmp_path / "ca.pem") as provider:
            with pytest.raises(ProviderUntrusted):
                await provider(whole())

    assert server.requests == []


@pytest.mark.parametrize(("status", "why"), [("403 Forbidden", "proxy"), ("", "too long")])
async def test_a_proxy_that_opens_no_tunnel_is_told_in_time(status: str, why: str) -> None:
    async with connect_proxy(0, status) as proxy:
        pool = {"proxy": proxy.url, "connect_timeout": 0.3}
        async with connected("https://provider.test", pool=pool) as provider:
            with pytest.raises(ProviderUnreachable, match=why):
                await asyncio.wait_for(provider(whole()), 5.0)
        await asyncio.wait_for(proxy.gone.wait(), 5.0)
