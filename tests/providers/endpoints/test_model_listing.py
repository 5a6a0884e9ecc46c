"""The model lists of providers, in the shapes they come in, page by page."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from aimanager_server.catalog.model import Model
from aimanager_server.config.providers import ProviderSettings
from aimanager_server.core.errors import MissingCredentials, ProviderProtocolError, ProviderUnreachable
from aimanager_server.providers.endpoint_factory import lister_of
from aimanager_server.providers.endpoints.model_listing import MOST_MODELS, MOST_PAGES, HttpLister, page_of
from aimanager_server.providers.http.provider import HttpProvider
from aimanager_server.providers.http.transport import HttpxTransport
from aimanager_server.providers.wires.anthropic import Claude
from aimanager_server.resilience.key_pool import KeyRing
from tests.support.chat_completions import LIMITS, answering
from tests.support.http_servers.scripted import keyless
from tests.support.mock_provider import mock


def read(value: Any) -> tuple[Model, ...]:
    return page_of("up", json.dumps(value).encode()).models


@pytest.mark.parametrize(
    "value",
    [
        {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "x"}]},
        [{"id": "m"}],
        {"models": [{"name": "models/m", "supportedGenerationMethods": ["generateContent"]}]},
        {"data": [{"id": "m"}, {"id": ""}, {"id": 5}, {}, "m", {"id": "x" * 300}, {"id": "a\nb"}]},
    ],
)
def test_every_shape_says_which_models_there_are(value: object) -> None:
    assert read(value) == (Model("up", "m"),)


@pytest.mark.parametrize(
    ("entry", "model"),
    [
        (
            {"id": "m", "display_name": "M", "max_input_tokens": 200, "max_tokens": 64},
            Model("up", "m", name="M", context_window=200, max_output=64),
        ),
        (
            {"name": "models/m", "displayName": "M", "inputTokenLimit": 200, "outputTokenLimit": 64},
            Model("up", "m", name="M", context_window=200, max_output=64),
        ),
        ({"id": "m", "max_model_len": 200}, Model("up", "m", context_window=200)),
        ({"id": "m", "display_name": 1, "max_tokens": True, "max_input_tokens": -1}, Model("up", "m")),
        ({"id": "m", "max_tokens": 2**40}, Model("up", "m")),
    ],
)
def test_what_a_provider_says_of_a_model_is_kept(entry: dict[str, object], model: Model) -> None:
    assert read([entry]) == (model,)


@pytest.mark.parametrize("value", [{"data": []}, {"models": None}, {"data": None}])
def test_a_list_may_be_empty(value: object) -> None:
    assert read(value) == ()


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"5", b'{"data": {"id": "m"}}'])
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(ProviderProtocolError):
        page_of("up", body)


@pytest.mark.parametrize(
    ("value", "following"),
    [
        ({"data": [], "has_more": True, "last_id": "m"}, {"after_id": "m"}),
        ({"data": [], "has_more": False, "last_id": "m"}, {}),
        ({"models": [], "nextPageToken": "t"}, {"pageToken": "t"}),
        ([], {}),
    ],
)
def test_the_next_page_is_named(value: object, following: dict[str, str]) -> None:
    assert page_of("up", json.dumps(value).encode()).following == following


def paging(*pages: dict[str, Any]) -> tuple[HttpLister, list[httpx.Request]]:
    """A server of Claude's wire that gives these pages in turn, the last one for ever."""
    seen: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=pages[min(len(seen), len(pages)) - 1])

    dialect = Claude(ProviderSettings(wire="claude", base_url="https://up.test"), LIMITS, lambda model: None)
    keys = KeyRing([("k", 1)], lambda: 0.0)
    return HttpLister(
        "up", HttpProvider("up", dialect, HttpxTransport(httpx.MockTransport(respond)), keys, LIMITS)
    ), seen


async def test_pages_are_followed_and_as_large_as_they_may_be() -> None:
    lister, seen = paging(
        {"data": [{"id": "a"}], "has_more": True, "last_id": "a"}, {"data": [{"id": "b"}, {"id": "a"}]}
    )

    models = await lister.models()

    assert [model.id for model in models] == ["a", "b"]
    assert [request.url.params for request in seen] == [
        httpx.QueryParams({"limit": "1000"}),
        httpx.QueryParams({"limit": "1000", "after_id": "a"}),
    ]
    assert seen[0].headers["x-api-key"] == "k"


async def test_a_list_without_end_is_given_up() -> None:
    lister, seen = paging({"data": [{"id": "a"}], "has_more": True, "last_id": "a"})

    await lister.models()

    assert len(seen) == MOST_PAGES


async def test_no_more_models_are_kept_than_memory_allows() -> None:
    lister, seen = paging({"data": [{"id": f"m{n}"} for n in range(MOST_MODELS + 5)], "has_more": True, "last_id": "x"})

    assert (len(await lister.models()), len(seen)) == (MOST_MODELS, 1)


async def test_a_provider_that_cannot_be_asked_raises_its_fault() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    lister = lister_of("upstream", answering(respond))
    assert lister is not None
    with pytest.raises(ProviderUnreachable):
        await lister.models()
    with pytest.raises(MissingCredentials):
        await HttpLister("up", keyless("UP_API_KEY")).models()


def test_the_mock_has_no_list_of_its_own() -> None:
    assert lister_of("mock", mock()) is None
