"""HttpProvider without sockets: requests, responses, errors and probes."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from aimanager_server.core.content import Attachment, Text
from aimanager_server.core.errors import (
    CapabilityUnsupported,
    GatewayError,
    ProviderInternalError,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderUnreachable,
)
from aimanager_server.core.response import Finished
from tests.support.chat_completions import CANARY, collect_events, make_attempt, provider_responding, provider_with
from tests.support.http_servers.scripted import (
    STREAM_ATTEMPT,
    STREAM_BEGINNING,
    STREAM_REST,
    UNARY_ATTEMPT,
    always_respond,
    reject_requests,
    streaming_provider,
)
from tests.support.wire_cases import completed_parts, user


async def test_a_unary_response_has_metadata_and_events() -> None:
    stream = await provider_responding(always_respond())(UNARY_ATTEMPT)

    events = await collect_events(stream)
    await stream.aclose()
    assert (stream.metadata.id, stream.metadata.requested_model, stream.metadata.provider, stream.metadata.model) == (
        "call-1",
        "latest",
        "upstream",
        "some-model",
    )
    assert completed_parts(events) == (Text("Grüße aus Rom 😀."),)


async def test_a_streamed_response_is_read_incrementally() -> None:
    provider, body = streaming_provider(STREAM_BEGINNING, STREAM_REST)

    stream = await provider(STREAM_ATTEMPT)
    closed_before = body.closed
    events = await collect_events(stream)

    assert completed_parts(events) == (Text("Grüße aus Rom 😀."),)
    assert isinstance(events[-1], Finished)
    assert (closed_before, body.closed) == (False, True)


async def test_requests_carry_user_agent_and_correlation_headers() -> None:
    requests: list[httpx.Request] = []
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return always_respond()(request)

    await provider_responding(respond, user_agent="aimanager/1")(make_attempt(provider="upstream", traceparent=trace))

    headers = requests[0].headers
    assert headers["user-agent"] == "aimanager/1"
    assert headers["accept-encoding"] == "gzip, deflate"
    assert headers["authorization"] == f"Bearer {CANARY}"
    assert headers["x-client-request-id"] == "call-1"
    assert headers["traceparent"] == trace


async def test_an_invalid_traceparent_is_not_sent() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        assert "traceparent" not in request.headers
        return always_respond()(request)

    await provider_responding(respond)(make_attempt(provider="upstream", traceparent="a\r\nX-Evil: 1"))


async def test_retry_after_is_read_from_an_error_response() -> None:
    with pytest.raises(ProviderRateLimited) as caught:
        await provider_responding(always_respond(429, b"", headers={"Retry-After": "7"}))(UNARY_ATTEMPT)

    assert caught.value.retry_after == 7.0


async def test_an_attachment_the_wire_does_not_support_names_the_provider() -> None:
    call = make_attempt(user(Attachment("audio/wav", data=b"RIFF")), provider="upstream")

    with pytest.raises(CapabilityUnsupported) as caught:
        await provider_responding(reject_requests)(call)

    assert caught.value.provider == "upstream"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError("x"), ProviderUnreachable),
        (httpx.ReadError("x"), ProviderUnreachable),
        (httpx.ConnectTimeout("x"), ProviderUnreachable),
        (httpx.RemoteProtocolError("x"), ProviderProtocolError),
    ],
)
async def test_errors_of_httpx_transports_are_translated(error: Exception, kind: type[GatewayError]) -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(kind):
        await provider_responding(respond)(UNARY_ATTEMPT)


async def test_a_probe_requests_the_model_list() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == ("GET", "/v1/models")
        return always_respond(content=b'{"data":[]}')(request)

    await provider_responding(respond).probe()


async def test_a_failed_probe_names_the_provider_and_no_key() -> None:
    with pytest.raises(ProviderInternalError) as caught:
        await provider_responding(always_respond(500, CANARY.encode())).probe()

    assert caught.value.provider == "upstream"
    assert CANARY not in str(caught.value)


async def test_a_probe_without_a_response_times_out() -> None:
    class Unresponsive(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            raise AssertionError("never")

    with pytest.raises(ProviderUnreachable, match=r"within 0\.01 s"):
        await provider_with(Unresponsive(), probe_timeout=0.01).probe()


async def test_closing_the_provider_closes_its_transport() -> None:
    class Closing(httpx.MockTransport):
        closed = False

        async def aclose(self) -> None:
            self.closed = True

    transport = Closing(always_respond())
    await provider_with(transport).aclose()

    assert transport.closed
