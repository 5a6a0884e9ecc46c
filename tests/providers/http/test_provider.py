"""One provider over HTTP: what it sends and how it answers. No socket is opened."""

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
from tests.support.chat_completions import CANARY, answering, events_of, parts_of, provider_at, question, user
from tests.support.http_servers.scripted import BEGUN, PLAIN, REST, STREAMED, always, streaming, unreachable


async def test_a_whole_answer_has_a_head_and_its_events() -> None:
    reply = await answering(always())(PLAIN)

    events = await events_of(reply)
    await reply.aclose()
    assert (reply.metadata.id, reply.metadata.requested_model, reply.metadata.provider, reply.metadata.model) == (
        "call-1",
        "latest",
        "upstream",
        "some-model",
    )
    assert parts_of(events) == (Text("Grüße aus Rom 😀."),)


async def test_a_streamed_answer_comes_as_it_is_read() -> None:
    provider, body = streaming(BEGUN, REST)

    reply = await provider(STREAMED)
    began = body.closed
    events = await events_of(reply)

    assert parts_of(events) == (Text("Grüße aus Rom 😀."),)
    assert isinstance(events[-1], Finished)
    assert (began, body.closed) == (False, True)


async def test_the_request_says_who_asks_and_under_which_id() -> None:
    asked: list[httpx.Request] = []
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    def respond(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return always()(request)

    await answering(respond, user_agent="aimanager/1")(question(provider="upstream", trace=trace))

    headers = asked[0].headers
    assert headers["user-agent"] == "aimanager/1"
    assert headers["accept-encoding"] == "gzip, deflate"
    assert headers["authorization"] == f"Bearer {CANARY}"
    assert headers["x-client-request-id"] == "call-1"
    assert headers["traceparent"] == trace


async def test_a_trace_that_no_header_can_carry_stays_here() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        assert "traceparent" not in request.headers
        return always()(request)

    await answering(respond)(question(provider="upstream", trace="a\r\nX-Evil: 1"))


async def test_advice_to_wait_comes_with_the_refusal() -> None:
    with pytest.raises(ProviderRateLimited) as caught:
        await answering(always(429, b"", headers={"Retry-After": "7"}))(PLAIN)

    assert caught.value.retry_after == 7.0


async def test_a_file_the_wire_cannot_carry_is_told_with_its_provider() -> None:
    call = question(user(Attachment("audio/wav", data=b"RIFF")), provider="upstream")

    with pytest.raises(CapabilityUnsupported) as caught:
        await answering(unreachable)(call)

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
async def test_faults_of_another_transport_are_translated(error: Exception, kind: type[GatewayError]) -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(kind):
        await answering(respond)(PLAIN)


async def test_a_probe_asks_for_the_model_list() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == ("GET", "/v1/models")
        return always(content=b'{"data":[]}')(request)

    await answering(respond).probe()


async def test_a_failed_probe_is_a_fault_of_the_provider() -> None:
    with pytest.raises(ProviderInternalError) as caught:
        await answering(always(500, CANARY.encode())).probe()

    assert caught.value.provider == "upstream"
    assert CANARY not in str(caught.value)


async def test_a_probe_that_is_not_answered_is_a_fault() -> None:
    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            raise AssertionError("never")

    with pytest.raises(ProviderUnreachable, match=r"0\.01 seconds"):
        await provider_at(Silent(), probe_seconds=0.01).probe()


async def test_a_transport_is_closed_with_its_provider() -> None:
    class Closing(httpx.MockTransport):
        closed = False

        async def aclose(self) -> None:
            self.closed = True

    transport = Closing(always())
    await provider_at(transport).aclose()

    assert transport.closed
