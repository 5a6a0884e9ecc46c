"""Proxies are used only if the operator enables them; TLS is end to end, through the proxy."""

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
from tests.support.chat_completions import LIMITS, connected_provider, provider_settings
from tests.support.http_servers.proxy import connect_proxy
from tests.support.http_servers.raw import RawServer, SocketFault, raw_server
from tests.support.pool_requests import EXPECTED_PARTS, TEXT_RESPONSE, parts_from, unary_attempt

BASE_URL = "https://provider.test/v1"


@pytest.fixture
def ca(tmp_path: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return made


@asynccontextmanager
async def upstream(ca: trustme.CA, name: str = "provider.test") -> AsyncIterator[RawServer]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(name).configure_cert(context)
    async with raw_server((TEXT_RESPONSE,), tls=context) as server:
        yield server


@asynccontextmanager
async def opened(**more: Any) -> AsyncIterator[Provider]:
    provider = open_provider("upstream", provider_settings(**more), LIMITS)
    try:
        yield provider
    finally:
        await provider.aclose()


@pytest.fixture(autouse=True)
def _clear_proxy_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def test_an_enabled_proxy_of_the_environment_is_used_as_a_tunnel(
    ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with upstream(ca) as server, connect_proxy(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with opened(base_url=BASE_URL, use_proxy=True, ca_file=tmp_path / "ca.pem") as provider:
            assert await parts_from(await provider(unary_attempt())) == EXPECTED_PARTS

    assert proxy.requests == ["CONNECT provider.test:443 HTTP/1.1"]


async def test_a_proxy_of_the_environment_is_ignored_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with raw_server((TEXT_RESPONSE,)) as server, connect_proxy(server.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        async with opened(base_url=server.url) as provider:
            assert await parts_from(await provider(unary_attempt())) == EXPECTED_PARTS

    assert proxy.requests == []


async def test_certificates_are_verified_through_a_tunnel(
    ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with upstream(ca, "elsewhere.test") as server, connect_proxy(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with opened(base_url=BASE_URL, use_proxy=True, ca_file=tmp_path / "ca.pem") as provider:
            with pytest.raises(ProviderUntrusted):
                await provider(unary_attempt())

    assert server.requests == []


@pytest.mark.parametrize(("status", "why"), [("403 Forbidden", "proxy"), ("", "timed out")])
async def test_a_proxy_without_a_tunnel_is_unreachable(status: str, why: str) -> None:
    async with connect_proxy(0, status) as proxy:
        pool = {"proxy": proxy.url, "connect_timeout": 0.05}
        async with connected_provider("https://provider.test", pool=pool) as provider:
            with pytest.raises(ProviderUnreachable, match=why):
                await asyncio.wait_for(provider(unary_attempt()), 5.0)
        await asyncio.wait_for(proxy.disconnected.wait(), 5.0)


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: http://evil.test/\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
)
async def test_any_other_response_to_connect_is_an_error(response: bytes) -> None:
    async with (
        raw_server((response, SocketFault.CLOSE)) as server,
        connected_provider("https://provider.test", pool={"proxy": server.url}) as provider,
    ):
        with pytest.raises(ProviderUnreachable):
            await asyncio.wait_for(provider(unary_attempt()), 5.0)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://", "http://127.0.0.1:99999", "https://127.0.0.1:1"])
async def test_an_unsupported_proxy_is_an_error(proxy: str) -> None:
    for url in ("http://localhost:9", "https://provider.test"):
        async with connected_provider(url, pool={"proxy": proxy}) as provider:
            with pytest.raises(ProviderUnreachable, match="proxy"):
                await provider(unary_attempt())


async def test_an_unreachable_proxy_is_an_error() -> None:
    async with raw_server((TEXT_RESPONSE,)) as server:
        proxy = server.url
    async with connected_provider("http://localhost:9", pool={"proxy": proxy}) as provider:
        with pytest.raises(ProviderUnreachable, match="proxy"):
            await provider(unary_attempt())


async def test_the_credentials_of_a_proxy_are_sent_to_it() -> None:
    async with raw_server((TEXT_RESPONSE,)) as proxy:
        url = f"http://ann:p%40ss@127.0.0.1:{proxy.port}"
        async with connected_provider("http://localhost:9/v1", pool={"proxy": url}) as provider:
            assert await parts_from(await provider(unary_attempt())) == EXPECTED_PARTS
        async with connected_provider("https://provider.test/v1", pool={"proxy": url}) as provider:
            with pytest.raises(ProviderUnreachable):
                await provider(unary_attempt())

    absolute, connect = proxy.requests
    assert absolute.startswith(b"POST http://localhost:9/v1/chat/completions HTTP/1.1\r\nHost: localhost:9\r\n")
    assert connect.startswith(b"CONNECT provider.test:443 HTTP/1.1\r\nHost: provider.test:443\r\n")
    assert all(b"Proxy-Authorization: Basic YW5uOnBAc3M=\r\n" in request for request in proxy.requests)


async def test_a_tunnel_is_reused(ca: trustme.CA, tmp_path: Path) -> None:
    async with upstream(ca) as server, connect_proxy(server.port) as proxy:
        pool = {"proxy": proxy.url, "ca_file": tmp_path / "ca.pem"}
        async with connected_provider(BASE_URL, pool=pool) as provider:
            for _ in range(2):
                assert await parts_from(await provider(unary_attempt())) == EXPECTED_PARTS

    assert len(proxy.requests) == 1
