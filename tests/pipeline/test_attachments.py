"""Attachments that are downloaded before the call is sent to the provider."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from aimanager_server.catalog.model import Model
from aimanager_server.core.content import Attachment, Message, Part, Role, Text, ToolResult
from aimanager_server.core.errors import DeadlineExceeded, InvalidRequest, PayloadTooLarge, ProviderOverloaded
from aimanager_server.core.handler import AttemptHandler, CallHandler, compose
from aimanager_server.core.request import Attempt, Call
from aimanager_server.operations.count_tokens import CountTokens
from aimanager_server.pipeline.attachments import MAX_FETCHES, FetchAttachments
from tests.support.attachments import PNG, file_server
from tests.support.calls import make_attempt, make_call
from tests.support.clock import FakeClock
from tests.support.http_servers.raw import SocketFault, http_response
from tests.support.layers import retry_layer, retrying
from tests.support.upstream import RESPONSE_EVENTS, ScriptedUpstream

URI = "https://a.example/a.png"
LINK = Attachment("image/png", "a.png", uri=URI, provider_state=b"state")
INLINE = Attachment("image/png", "a.png", data=b"file of 10", provider_state=b"state")


class FakeFetcher:
    """Returns ten bytes for every URL."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, int, str]] = []

    async def __call__(self, uri: str, mime_type: str, max_bytes: int, field: str, caller: str) -> bytes:
        self.requests.append((uri, mime_type, max_bytes, field))
        if max_bytes < len(INLINE.data or b""):
            raise PayloadTooLarge("too large")
        return b"file of 10"


def call_with(*parts: Part, **facts: Any) -> Call:
    messages = (Message(Role.USER, (Text("Look"),)), Message(Role.USER, parts))
    return replace(make_call(**{"deadline": asyncio.get_running_loop().time() + 60, **facts}), messages=messages)


def fetch_layer(fetcher: Any, accepted: frozenset[str] | None = frozenset(), max_bytes: int = 1000) -> FetchAttachments:
    def find_model(provider: str, name: str) -> Model:
        return Model(provider, name, url_attachments=accepted)

    return FetchAttachments(fetcher, find_model, 100, max_bytes)


async def attempt_at_provider(layer: FetchAttachments, call: Call) -> Attempt[Any]:
    """Return the attempt as the provider receives it."""
    upstream = ScriptedUpstream()
    await layer(make_attempt(call), upstream)
    received: Attempt[Any] = upstream.requests[0]
    return received


async def test_url_is_replaced_by_data() -> None:
    fetcher = FakeFetcher()

    received = await attempt_at_provider(fetch_layer(fetcher), call_with(Text("Hi"), LINK))

    assert received.messages[1].parts == (Text("Hi"), INLINE)
    assert fetcher.requests == [(URI, "image/png", 100, "messages[1].parts[1].attachment.uri")]


async def test_url_in_a_tool_result_is_replaced_by_data() -> None:
    fetcher = FakeFetcher()
    result = ToolResult("a", "f", "", (INLINE, LINK))

    received = await attempt_at_provider(fetch_layer(fetcher), call_with(ToolResult("b", "f", ""), result))

    assert received.messages[1].parts == (ToolResult("b", "f", ""), replace(result, attachments=(INLINE, INLINE)))
    assert fetcher.requests[0][3] == "messages[1].parts[1].tool_result.attachments[1].uri"


@pytest.mark.parametrize("accepted", [frozenset({"image"}), None])
async def test_url_that_the_model_accepts_is_kept(accepted: frozenset[str] | None) -> None:
    fetcher, request = FakeFetcher(), call_with(LINK)

    assert (await attempt_at_provider(fetch_layer(fetcher, accepted), request)).messages is request.messages
    assert fetcher.requests == []


async def test_only_mime_types_not_accepted_as_url_are_downloaded() -> None:
    document = Attachment("application/pdf", uri="https://a.example/a.pdf")

    received = await attempt_at_provider(fetch_layer(FakeFetcher(), frozenset({"image"})), call_with(LINK, document))

    assert received.messages[1].parts == (LINK, Attachment("application/pdf", data=b"file of 10"))


async def test_url_for_an_unknown_model_is_kept() -> None:
    layer, request = FetchAttachments(FakeFetcher(), lambda provider, name: None, 100, 1000), call_with(LINK)

    assert (await attempt_at_provider(layer, request)).messages is request.messages


@pytest.mark.parametrize("fetcher", [None, FakeFetcher()])
async def test_call_without_downloads_passes_unchanged(fetcher: FakeFetcher | None) -> None:
    request = call_with(LINK if fetcher is None else INLINE)

    assert (await attempt_at_provider(fetch_layer(fetcher), request)).messages is request.messages


async def test_repeated_url_is_downloaded_once() -> None:
    fetcher = FakeFetcher()

    received = await attempt_at_provider(fetch_layer(fetcher), call_with(LINK, LINK))

    assert received.messages[1].parts == (INLINE, INLINE)
    assert len(fetcher.requests) == 1


async def test_downloads_and_inline_data_share_one_size_limit() -> None:
    fetcher = FakeFetcher()
    links = [replace(LINK, uri=f"{URI}?{number}") for number in range(2)]

    with pytest.raises(PayloadTooLarge):
        await attempt_at_provider(fetch_layer(fetcher, max_bytes=25), call_with(INLINE, *links))

    assert [max_bytes for _, _, max_bytes, _ in fetcher.requests] == [15, 5]


async def test_too_many_urls_are_rejected_before_any_download() -> None:
    fetcher = FakeFetcher()
    links = [replace(LINK, uri=f"{URI}?{number}") for number in range(MAX_FETCHES + 1)]

    with pytest.raises(InvalidRequest, match=r"limit of 20 attachments .* got 21") as raised:
        await attempt_at_provider(fetch_layer(fetcher), call_with(*links))

    assert raised.value.violations[0].field == f"messages[1].parts[{MAX_FETCHES}].attachment.uri"
    assert fetcher.requests == []


async def test_slow_download_ends_at_the_deadline() -> None:
    async with file_server(SocketFault.STALL) as server:
        request = call_with(replace(LINK, uri=server.url()), deadline=asyncio.get_running_loop().time() + 0.2)
        with pytest.raises(DeadlineExceeded, match="downloading attachments"):
            await attempt_at_provider(fetch_layer(server.fetcher()), request)
        await asyncio.wait_for(server.server.disconnected.wait(), 5)


async def test_download_time_counts_as_upstream_time() -> None:
    def find_model(provider: str, name: str) -> Model:
        return Model(provider, name, url_attachments=frozenset())

    async with file_server(http_response(PNG, content_type="image/png")) as server:
        fetch = FetchAttachments(server.fetcher(), find_model, 1000, 1000)
        received = await attempt_at_provider(fetch, call_with(replace(LINK, uri=server.url())))

    assert received.messages[1].parts == (replace(LINK, uri=None, data=PNG),)
    assert received.upstream_timer.seconds > 0


async def test_failed_download_is_not_retried() -> None:
    upstream = ScriptedUpstream()
    async with file_server(http_response(b"", "404 Not Found")) as server:
        handler = retrying(FakeClock(asyncio.get_running_loop().time()), upstream, (fetch_layer(server.fetcher()),))
        with pytest.raises(InvalidRequest):
            await handler(call_with(replace(LINK, uri=server.url())))

    assert len(server.server.requests) == 1
    assert upstream.requests == []


async def test_provider_error_passes_unchanged() -> None:
    with pytest.raises(ProviderOverloaded):
        await fetch_layer(FakeFetcher())(make_attempt(call_with(LINK)), ScriptedUpstream(ProviderOverloaded("busy")))


async def test_retry_reuses_the_downloaded_file() -> None:
    fetcher, clock = FakeFetcher(), FakeClock(asyncio.get_running_loop().time())
    upstream = ScriptedUpstream(ProviderOverloaded("busy"), RESPONSE_EVENTS)

    await retrying(clock, upstream, (fetch_layer(fetcher),))(call_with(LINK))

    assert [attempt.messages[1].parts for attempt in upstream.requests] == [(INLINE,), (INLINE,)]
    assert len(fetcher.requests) == 1


async def test_call_itself_keeps_its_urls() -> None:
    call = call_with(LINK)

    await attempt_at_provider(fetch_layer(FakeFetcher()), call)

    assert call.messages[1].parts == (LINK,)


async def test_tokens_are_counted_with_the_downloaded_file() -> None:
    class Counter:
        async def count_tokens(self, attempt: Attempt[Any]) -> int | None:
            return 7 if attempt.messages[1].parts == (INLINE,) else None

    def layers(count: AttemptHandler) -> CallHandler:
        return retry_layer(FakeClock(asyncio.get_running_loop().time())).over(
            compose((fetch_layer(FakeFetcher()),), count)
        )

    clock = asyncio.get_running_loop().time
    count = CountTokens(layers, {"mock": Counter()}, lambda provider, model: False, clock)

    assert (await count(call_with(LINK))).input_tokens == 7
