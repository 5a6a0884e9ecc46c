"""Which files are fetched before the provider is asked, and what the provider then gets."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from aimanager_server.catalog.catalog import Model
from aimanager_server.core.content import Attachment, Message, Part, Role, Text, ToolResult
from aimanager_server.core.errors import DeadlineExceeded, InvalidRequest, PayloadTooLarge, ProviderOverloaded
from aimanager_server.core.handler import compose
from aimanager_server.core.request import Call
from aimanager_server.operations.count_tokens import Count
from aimanager_server.pipeline.attachments import MOST_FETCHED, Fetch
from tests.support.attachments import PNG, files
from tests.support.calls import FakeClock, Upstream, call
from tests.support.http_servers.raw import Act, http
from tests.support.layers import attempting

URI = "https://a.example/a.png"
LINK = Attachment("image/png", "a.png", uri=URI, provider_state=b"state")
DATA = Attachment("image/png", "a.png", data=b"file of 10", provider_state=b"state")


class Shelf:
    """Gives ten bytes for every address."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int, str]] = []

    async def __call__(self, uri: str, mime_type: str, most_bytes: int, field: str) -> bytes:
        self.asked.append((uri, mime_type, most_bytes, field))
        if most_bytes < len(DATA.data or b""):
            raise PayloadTooLarge("too large")
        return b"file of 10"


def asking(*parts: Part, **facts: Any) -> Call:
    messages = (Message(Role.USER, (Text("Look"),)), Message(Role.USER, parts))
    return replace(call(**{"deadline": asyncio.get_running_loop().time() + 60, **facts}), messages=messages)


def fetching(shelf: Any, linked: frozenset[str] | None = frozenset(), most_bytes: int = 1000) -> Fetch:
    return Fetch(shelf, lambda provider, name: Model(provider, name, linked=linked), 100, most_bytes)


async def seen(fetch: Fetch, asked: Call) -> Call:
    """The call as it reaches what lies inside."""
    upstream = Upstream()
    await fetch(asked, upstream)
    return upstream.calls[0]


async def test_an_address_becomes_data() -> None:
    shelf = Shelf()

    got = await seen(fetching(shelf), asking(Text("Hi"), LINK))

    assert got.messages[1].parts == (Text("Hi"), DATA)
    assert shelf.asked == [(URI, "image/png", 100, "messages[1].parts[1].attachment.uri")]


async def test_an_address_in_a_tools_result_becomes_data() -> None:
    shelf = Shelf()
    result = ToolResult("a", "f", "", (DATA, LINK))

    got = await seen(fetching(shelf), asking(ToolResult("b", "f", ""), result))

    assert got.messages[1].parts == (ToolResult("b", "f", ""), replace(result, attachments=(DATA, DATA)))
    assert shelf.asked[0][3] == "messages[1].parts[1].tool_result.attachments[1].uri"


@pytest.mark.parametrize("linked", [frozenset({"image"}), None])
async def test_an_address_that_the_model_may_take_is_left(linked: frozenset[str] | None) -> None:
    shelf, asked = Shelf(), asking(LINK)

    assert await seen(fetching(shelf, linked), asked) is asked
    assert shelf.asked == []


async def test_only_the_kind_that_the_model_does_not_take_is_fetched() -> None:
    document = Attachment("application/pdf", uri="https://a.example/a.pdf")

    got = await seen(fetching(Shelf(), frozenset({"image"})), asking(LINK, document))

    assert got.messages[1].parts == (LINK, Attachment("application/pdf", data=b"file of 10"))


async def test_nothing_is_known_of_a_model_that_is_nowhere() -> None:
    asked = asking(LINK)

    assert await seen(Fetch(Shelf(), lambda provider, name: None, 100, 1000), asked) is asked


@pytest.mark.parametrize("shelf", [None, Shelf()])
async def test_a_question_without_work_passes_as_it_is(shelf: Shelf | None) -> None:
    asked = asking(LINK if shelf is None else DATA)

    assert await seen(fetching(shelf), asked) is asked


async def test_a_file_is_fetched_once_however_often_it_is_named() -> None:
    shelf = Shelf()

    got = await seen(fetching(shelf), asking(LINK, LINK))

    assert got.messages[1].parts == (DATA, DATA)
    assert len(shelf.asked) == 1


async def test_all_files_of_a_call_have_the_room_of_one_request() -> None:
    shelf = Shelf()
    links = [replace(LINK, uri=f"{URI}?{number}") for number in range(2)]

    with pytest.raises(PayloadTooLarge):
        await seen(fetching(shelf, most_bytes=25), asking(DATA, *links))

    assert [most for _, _, most, _ in shelf.asked] == [15, 5]


async def test_too_many_addresses_are_refused_before_the_first_is_asked() -> None:
    shelf = Shelf()
    links = [replace(LINK, uri=f"{URI}?{number}") for number in range(MOST_FETCHED + 1)]

    with pytest.raises(InvalidRequest, match="one of 21 addresses") as caught:
        await seen(fetching(shelf), asking(*links))

    assert caught.value.violations[0].field == f"messages[1].parts[{MOST_FETCHED}].attachment.uri"
    assert shelf.asked == []


async def test_a_slow_server_is_waited_for_until_the_deadline() -> None:
    async with files(Act.SILENCE) as world:
        asked = asking(replace(LINK, uri=world.uri()), deadline=asyncio.get_running_loop().time() + 0.2)
        with pytest.raises(DeadlineExceeded, match="fetched the attachments"):
            await seen(fetching(world.fetcher()), asked)
        await asyncio.wait_for(world.server.gone.wait(), 5)


async def test_fetching_counts_as_waiting() -> None:
    def blind(provider: str, name: str) -> Model:
        return Model(provider, name, linked=frozenset())

    async with files(http(PNG, content_type="image/png")) as world:
        fetch = Fetch(world.fetcher(), blind, 1000, 1000)
        got = await seen(fetch, asking(replace(LINK, uri=world.uri())))

    assert got.messages[1].parts == (replace(LINK, uri=None, data=PNG),)
    assert got.upstream_timer.seconds > 0


async def test_a_file_that_is_not_to_be_had_is_not_asked_for_again() -> None:
    clock, upstream = FakeClock(), Upstream()
    attempt = attempting(clock)
    async with files(http(b"", "404 Not Found")) as world:
        handler = compose((attempt, fetching(world.fetcher())), upstream)
        with pytest.raises(InvalidRequest):
            await handler(asking(replace(LINK, uri=world.uri())))

    assert len(world.server.requests) == 1
    assert upstream.calls == []


async def test_a_fault_of_the_provider_passes() -> None:
    with pytest.raises(ProviderOverloaded):
        await fetching(Shelf())(asking(LINK), Upstream(ProviderOverloaded("busy")))


async def test_tokens_are_counted_of_the_file() -> None:
    class Counter:
        async def count_tokens(self, call: Call) -> int | None:
            return 7 if call.messages[1].parts == (DATA,) else None

    clock = asyncio.get_running_loop().time
    count = Count((fetching(Shelf()),), {"mock": Counter()}, lambda provider, model: False, clock)

    assert (await count(asking(LINK))).input_tokens == 7
