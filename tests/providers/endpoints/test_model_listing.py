"""Model lists: the response formats of each wire, and pagination."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from aimanager_server.catalog.model import Model
from aimanager_server.config.providers import ProviderSettings
from aimanager_server.core.errors import MissingCredentials, ProviderProtocolError, ProviderUnreachable
from aimanager_server.providers.endpoints.model_listing import MAX_MODELS, MAX_PAGES, HttpModelLister, parse_page
from aimanager_server.providers.factory import model_lister_for
from aimanager_server.providers.http.provider import HttpProvider
from aimanager_server.providers.http.transport import HttpxTransport
from aimanager_server.providers.wires.anthropic import AnthropicWire
from aimanager_server.resilience.key_pool import KeyPool
from aimanager_server.resilience.prober import is_reachable
from tests.support.chat_completions import LIMITS, provider_responding
from tests.support.http_servers.scripted import provider_without_key
from tests.support.mock_provider import mock


def read(value: Any) -> tuple[Model, ...]:
    return parse_page("up", json.dumps(value).encode()).models


@pytest.mark.parametrize(
    "value",
    [
        {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "x"}]},
        [{"id": "m"}],
        {"models": [{"name": "models/m", "supportedGenerationMethods": ["generateContent"]}]},
        {"data": [{"id": "m"}, {"id": ""}, {"id": 5}, {}, "m", {"id": "x" * 300}, {"id": "a\nb"}]},
    ],
)
def test_every_format_is_parsed_and_invalid_entries_are_skipped(value: object) -> None:
    assert read(value) == (Model("up", "m"),)


@pytest.mark.parametrize(
    ("entry", "model"),
    [
        (
            {"id": "m", "display_name": "M", "max_input_tokens": 200, "max_tokens": 64},
            Model("up", "m", name="M", context_window=200, max_output_tokens=64),
        ),
        (
            {"name": "models/m", "displayName": "M", "inputTokenLimit": 200, "outputTokenLimit": 64},
            Model("up", "m", name="M", context_window=200, max_output_tokens=64),
        ),
        ({"id": "m", "max_model_len": 200}, Model("up", "m", context_window=200)),
        ({"id": "m", "display_name": 1, "max_tokens": True, "max_input_tokens": -1}, Model("up", "m")),
        ({"id": "m", "max_tokens": 2**40}, Model("up", "m")),
    ],
)
def test_model_details_are_parsed(entry: dict[str, object], model: Model) -> None:
    assert read([entry]) == (model,)


@pytest.mark.parametrize("value", [{"data": []}, {"models": None}, {"data": None}])
def test_an_empty_list_is_accepted(value: object) -> None:
    assert read(value) == ()


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"5", b'{"data": {"id": "m"}}'])
def test_invalid_lists_are_rejected(body: bytes) -> None:
    with pytest.raises(ProviderProtocolError):
        parse_page("up", body)


@pytest.mark.parametrize(
    ("value", "next_page"),
    [
        ({"data": [], "has_more": True, "last_id": "m"}, {"after_id": "m"}),
        ({"data": [], "has_more": False, "last_id": "m"}, {}),
        ({"models": [], "nextPageToken": "t"}, {"pageToken": "t"}),
        ([], {}),
    ],
)
def test_the_next_page_is_found(value: object, next_page: dict[str, str]) -> None:
    assert parse_page("up", json.dumps(value).encode()).next_page == next_page


def paging(*pages: dict[str, Any]) -> tuple[HttpModelLister, list[httpx.Request]]:
    """Return a lister on the Anthropic wire whose server returns these pages in order and repeats the last."""
    requests: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=pages[min(len(requests), len(pages)) - 1])

    dialect = AnthropicWire(ProviderSettings(wire="anthropic", base_url="https://up.test"), LIMITS, lambda model: None)
    keys = KeyPool([("k", 1)], lambda: 0.0)
    return HttpModelLister(
        "up", HttpProvider("up", dialect, HttpxTransport(httpx.MockTransport(respond)), keys, LIMITS)
    ), requests


async def test_pages_are_followed_with_the_largest_page_size() -> None:
    lister, requests = paging(
        {"data": [{"id": "a"}], "has_more": True, "last_id": "a"}, {"data": [{"id": "b"}, {"id": "a"}]}
    )

    models = await lister.models()

    assert [model.id for model in models] == ["a", "b"]
    assert [request.url.params for request in requests] == [
        httpx.QueryParams({"limit": "1000"}),
        httpx.QueryParams({"limit": "1000", "after_id": "a"}),
    ]
    assert requests[0].headers["x-api-key"] == "k"


async def test_the_number_of_pages_is_limited() -> None:
    lister, requests = paging({"data": [{"id": "a"}], "has_more": True, "last_id": "a"})

    await lister.models()

    assert len(requests) == MAX_PAGES


async def test_the_number_of_models_is_limited() -> None:
    lister, requests = paging(
        {"data": [{"id": f"m{n}"} for n in range(MAX_MODELS + 5)], "has_more": True, "last_id": "x"}
    )

    assert (len(await lister.models()), len(requests)) == (MAX_MODELS, 1)


async def test_errors_of_the_provider_are_raised() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    lister = model_lister_for("upstream", provider_responding(respond))
    assert lister is not None
    with pytest.raises(ProviderUnreachable):
        await lister.models()
    with pytest.raises(MissingCredentials):
        await HttpModelLister("up", provider_without_key("UP_API_KEY")).models()


async def test_a_missing_model_list_says_to_check_the_base_url() -> None:
    provider = provider_responding(lambda request: httpx.Response(404, json={"error": {"message": "Not Found"}}))

    for refused in (HttpModelLister("upstream", provider).models(), provider.probe()):
        with pytest.raises(ProviderProtocolError, match="has no endpoint at '/v1/models'") as caught:
            await refused
        assert caught.value.solution == "Check base_url: the path of the API, such as /v1, may be missing."
        assert is_reachable(caught.value)


def test_the_mock_provider_has_no_model_lister() -> None:
    assert model_lister_for("mock", mock()) is None
