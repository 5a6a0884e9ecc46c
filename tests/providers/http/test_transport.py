"""HttpTransport as a transport of httpx, HttpxTransport, and the requests that both send."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import httpx
import pytest
import trustme

from aimanager_server.core.errors import GatewayError, ProviderProtocolError, ProviderUnreachable
from aimanager_server.providers.http.dns_cache import PinnedResolver
from aimanager_server.providers.http.transport import HttpTransport, HttpxTransport, open_client
from aimanager_server.providers.wires.wire import HttpRequest
from tests.support.http_servers.blackhole import black_hole, silent_server
from tests.support.http_servers.raw import SocketFault, http_response, raw_server
from tests.support.http_transport import http_transport

OK = http_response(b"ok", content_type="text/plain")


def head_of(request: bytes) -> list[str]:
    return request.split(b"\r\n\r\n")[0].decode().split("\r\n")


async def test_a_request_is_sent_as_it_is() -> None:
    async with raw_server((OK,)) as server:
        transport = http_transport()
        headers = {"Authorization": "Bearer k", "X-Name": "Grüße"}
        response = await transport.send(HttpRequest("POST", f"{server.url}/a%2Fb?c=%20d'", headers, b"{}"))
        await response.body.aclose()
        await transport.aclose()

    assert head_of(server.requests[0]) == [
        "POST /a%2Fb?c=%20d' HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "Authorization: Bearer k",
        "X-Name: Grüße",
        "Content-Length: 2",
    ]
    assert server.requests[0].endswith(b"\r\n\r\n{}")


async def test_own_framing_headers_are_ignored_and_an_own_host_is_used() -> None:
    async with raw_server((OK,)) as server:
        transport = http_transport()
        headers = {"content-length": "99", "Transfer-Encoding": "chunked", "host": "other.test"}
        response = await transport.send(HttpRequest("GET", server.url, headers))
        await response.body.aclose()
        await transport.aclose()

    assert head_of(server.requests[0]) == ["GET / HTTP/1.1", "Host: other.test"]


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"X": "a\r\nY: b"}),
        ("GET", {"X": "a\nb"}),
        ("GET", {"X": "a\r", "Y": "\nb"}),
        ("GET", {"X": "a\0"}),
        ("GET", {"X\r\nY": "a"}),
        ("GET", {"Host": "a\r\nb"}),
        ("GET / HTTP/1.1\r\nX: ", {}),
    ],
)
async def test_a_line_break_in_a_request_is_an_error(method: str, headers: dict[str, str]) -> None:
    with pytest.raises(ProviderProtocolError, match="invalid header"):
        await http_transport().send(HttpRequest(method, "http://127.0.0.1:1/", headers))


@pytest.mark.parametrize(
    "url", ["", "upstream.test", "ftp://upstream.test/", "http:///x", "http://[::1", "http://a:99999/", "http://u:p@a/"]
)
async def test_an_invalid_url_is_an_error(url: str) -> None:
    with pytest.raises(ProviderUnreachable, match="not a valid URL"):
        await http_transport().send(HttpRequest("GET", url, {}))


async def test_spaces_and_letters_outside_ascii_in_a_url_are_escaped() -> None:
    async with raw_server((OK,)) as server:
        transport = http_transport()
        await (await transport.send(HttpRequest("GET", f"{server.url}/ü b", {}))).body.aclose()
        await transport.aclose()

    assert head_of(server.requests[0])[0] == "GET /%C3%BC%20b HTTP/1.1"


async def test_response_headers_have_lower_case_names_and_joined_values() -> None:
    async with raw_server((http_response(b"", headers=("Via: a", "VIA: b")),)) as server:
        transport = http_transport()
        response = await transport.send(HttpRequest("GET", server.url, {}))
        await response.body.aclose()
        await transport.aclose()

    assert response.headers == {"content-type": "application/json", "content-length": "0", "via": "a, b"}


async def test_a_client_of_httpx_uses_the_pool() -> None:
    async with raw_server((OK,), (http_response(b"", headers=("Set-Cookie: a=1", "Set-Cookie: b=2")),)) as server:
        transport = http_transport()
        async with httpx.AsyncClient(transport=transport) as client:
            first = await client.post(server.url + "/x?y=1", json={"a": 1})
            second = await client.get(server.url)

    assert (first.text, first.http_version) == ("ok", "HTTP/1.1")
    assert second.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert server.requests[0].startswith(b"POST /x?y=1 HTTP/1.1\r\n")
    assert (server.requests[0].endswith(b'{"a":1}'), server.connections) == (True, 1)


async def test_a_streamed_request_body_is_sent_with_its_length() -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    async with raw_server((OK,)) as server, httpx.AsyncClient(transport=http_transport()) as client:
        await client.post(server.url, content=content())

    assert server.requests[0].endswith(b"\r\nContent-Length: 2\r\n\r\nab")


async def test_a_head_request_is_answered_without_a_body() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    async with raw_server((head,)) as server, httpx.AsyncClient(transport=http_transport()) as client:
        response = await client.head(server.url)

    assert (response.status_code, response.content, response.headers["content-length"]) == (200, b"", "9")


async def test_a_pinned_address_is_verified_for_the_original_name() -> None:
    authority, server_tls = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("files.test").configure_cert(server_tls)
    server_names: list[str | None] = []
    server_tls.sni_callback = lambda _, name, __: server_names.append(name)
    client_tls = ssl.create_default_context()
    authority.configure_trust(client_tls)

    async with raw_server((OK,), tls=server_tls) as server:
        transport = HttpTransport(
            "up", max_connections=1, max_idle_connections=1, connect_timeout=5.0, tls=lambda: client_tls
        )
        async with httpx.AsyncClient(transport=transport) as client:
            headers = {"Host": "files.test"}
            good = await client.get(server.url, headers=headers, extensions={"sni_hostname": "files.test"})
            with pytest.raises(httpx.ConnectError, match=r"not valid for 'elsewhere\.test'"):
                await client.get(server.url, headers=headers, extensions={"sni_hostname": "elsewhere.test"})

    assert (good.text, server_names) == ("ok", ["files.test", "elsewhere.test"])
    assert head_of(server.requests[0])[1] == "Host: files.test"


async def test_a_pinned_resolver_never_looks_up_the_host() -> None:
    async with raw_server((OK,)) as server:
        transport = HttpTransport(
            "up",
            max_connections=1,
            max_idle_connections=1,
            connect_timeout=5.0,
            resolver=PinnedResolver(["127.0.0.2", "127.0.0.1"]),
        )
        async with httpx.AsyncClient(transport=transport) as client:
            response = await client.get(f"http://files.test:{server.port}/")

    assert response.text == "ok"


async def test_the_timeouts_of_httpx_are_enforced() -> None:
    async with silent_server() as server, raw_server((OK[:-1], SocketFault.STALL)) as slow:
        with black_hole() as port:
            async with httpx.AsyncClient(transport=http_transport(), timeout=0.02) as client:
                with pytest.raises(httpx.ConnectTimeout):
                    await client.get(f"http://127.0.0.1:{port}")
        timeout = httpx.Timeout(None, read=0.02, write=0.02)
        async with httpx.AsyncClient(transport=http_transport(), timeout=timeout) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get(f"http://127.0.0.1:{server.port}")
            with pytest.raises(httpx.ReadTimeout):
                await client.get(slow.url)


async def test_waiting_for_a_connection_is_limited_by_the_pool_timeout() -> None:
    async with raw_server((SocketFault.STALL,)) as server:
        transport = http_transport(max_connections=1)
        async with httpx.AsyncClient(transport=transport, timeout=httpx.Timeout(None, pool=0.02)) as client:
            first = asyncio.create_task(client.get(server.url))
            await server.request_received.wait()
            with pytest.raises(httpx.PoolTimeout):
                await client.get(server.url)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first


async def test_faults_are_exceptions_of_httpx_with_the_fault_as_cause() -> None:
    async with raw_server((SocketFault.CLOSE,)) as server, httpx.AsyncClient(transport=http_transport()) as client:
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response") as caught:
            await client.get(server.url)
        with pytest.raises(httpx.UnsupportedProtocol):
            await client.get("ftp://127.0.0.1/")

    assert caught.value.request.url == server.url
    assert type(caught.value.__cause__).__name__ == "ResponseMissingError"


@pytest.mark.parametrize(
    ("fault", "message"),
    [(SocketFault.CLOSE, "without sending a response"), (SocketFault.RESET, "Connection to the provider was reset")],
)
async def test_faults_keep_their_message_through_httpx(fault: SocketFault, message: str) -> None:
    async with raw_server((fault,)) as server:
        transport = HttpxTransport(http_transport())
        with pytest.raises(GatewayError, match=message):
            await transport.send(HttpRequest("GET", server.url, {}))
        await transport.aclose()


@pytest.mark.parametrize("url", ["http://[::1", "http://a:99999999/", "ftp://a/", ""])
async def test_an_invalid_url_is_an_error_through_httpx(url: str) -> None:
    with pytest.raises(ProviderUnreachable, match="not a valid URL"):
        await HttpxTransport(http_transport()).send(HttpRequest("GET", url, {}))


async def test_headers_outside_ascii_are_sent_as_utf_8_through_httpx() -> None:
    async with raw_server((OK,)) as server:
        transport = HttpxTransport(http_transport())
        response = await transport.send(HttpRequest("GET", server.url, {"X-Name": "Grüße"}))
        await response.body.aclose()
        await transport.aclose()

    assert "X-Name: Grüße" in head_of(server.requests[0])


async def test_a_line_break_in_a_header_is_an_error_through_httpx() -> None:
    with pytest.raises(ProviderProtocolError, match="invalid header"):
        await HttpxTransport(http_transport()).send(HttpRequest("GET", "http://127.0.0.1:1/", {"X": "a\r\nb"}))


async def test_a_truncated_body_keeps_its_message_through_httpx() -> None:
    async with raw_server((OK[:-1], SocketFault.CLOSE)) as server:
        transport = HttpxTransport(http_transport())
        response = await transport.send(HttpRequest("GET", server.url, {}))
        first = await response.body.read()
        with pytest.raises(ProviderProtocolError, match="truncated"):
            await response.body.read()
        await response.body.aclose()
        await transport.aclose()

    assert first == b"o"


async def test_deadlines_apply_to_any_httpx_transport() -> None:
    class Silent(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b""
            yield b"first"
            await asyncio.Event().wait()

    transport = HttpxTransport(httpx.MockTransport(lambda request: httpx.Response(200, stream=Silent())))
    now = asyncio.get_running_loop().time
    response = await transport.send(HttpRequest("GET", "https://upstream.test/", {}), now() + 5.0)
    first = await response.body.read(now() + 5.0)
    with pytest.raises(TimeoutError):
        await response.body.read(now() + 0.01)
    await response.body.aclose()

    assert first == b"first"


async def test_clients_follow_no_redirects_and_keep_no_cookies() -> None:
    redirect = http_response(b"", "302 Found", headers=("Location: /other", "Set-Cookie: session=1"))
    async with raw_server((redirect,)) as server, open_client(http_transport()) as client:
        statuses = [(await client.get(server.url)).status_code for _ in range(2)]

    assert (statuses, len(server.requests)) == ([302, 302], 2)
    assert b"session" not in server.requests[1]
