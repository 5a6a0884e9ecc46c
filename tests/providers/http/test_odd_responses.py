"""A corpus of odd responses, read by HttpTransport and by httpx's own transport; every difference has its reason."""

from __future__ import annotations

import httpx
import pytest

from tests.support.http_servers.raw import Step, raw_server
from tests.support.http_transport import http_transport
from tests.support.odd_responses import ODD_RESPONSES

REJECTED, OK_200 = "RemoteProtocolError", "200 ok"
DIFFERENCES: dict[str, tuple[str, str, str]] = {
    "until close, reset": (REJECTED, "ReadError", "a truncated body is one fault, however the connection ended"),
    "HTTP/1.2": (REJECTED, OK_200, "llhttp accepts the versions that exist"),
    "length and chunked": (REJECTED, OK_200, "RFC 9112, 6.3: a sign of response splitting, handled as an error"),
    "equal lengths": (REJECTED, OK_200, "RFC 9112, 6.3 permits both; llhttp rejects"),
    "list of equal lengths": (REJECTED, OK_200, "RFC 9112, 6.3 permits both; llhttp rejects"),
    "empty lines first": (OK_200, REJECTED, "llhttp skips the line end that some servers add after a body"),
    "300 headers": (REJECTED, OK_200, "the number of headers is limited, not only their bytes"),
    "300 1xx responses": (REJECTED, OK_200, "1xx responses count towards the limits of the headers"),
}
"""Our outcome, that of httpx, and the reason."""


async def outcome(transport: httpx.AsyncBaseTransport, script: tuple[Step, ...]) -> str:
    async with raw_server(script) as server, httpx.AsyncClient(transport=transport, trust_env=False) as client:
        try:
            response = await client.get(server.url)
        except httpx.TransportError as error:
            return type(error).__name__
    return f"{response.status_code} {response.text}"


@pytest.mark.parametrize("name", ODD_RESPONSES)
async def test_odd_responses_have_the_outcome_of_httpx_but_for_listed_differences(name: str) -> None:
    ours = await outcome(http_transport(), ODD_RESPONSES[name])
    theirs = await outcome(httpx.AsyncHTTPTransport(trust_env=False), ODD_RESPONSES[name])

    expected = DIFFERENCES[name][:2] if name in DIFFERENCES else (theirs, theirs)
    assert (ours, theirs) == expected
