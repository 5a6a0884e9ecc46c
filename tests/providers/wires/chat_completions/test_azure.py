"""Azure OpenAI: one URL per deployment."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.content import Sampling, Text
from aimanager_server.core.errors import ContentBlocked
from aimanager_server.core.response import FinishReason
from aimanager_server.providers.wires.chat_completions.azure import AzureWire
from tests.support.chat_completions import CANARY, LIMITS, make_attempt, provider_settings, recorded
from tests.support.wire_cases import completed_parts, finished_event

RESOURCE = "https://my-resource.openai.azure.com"


def azure(base_url: str = RESOURCE, **more: Any) -> AzureWire:
    return AzureWire(provider_settings(base_url, api_version="2024-10-21", **more), LIMITS)


@pytest.mark.parametrize("base_url", [RESOURCE, f"{RESOURCE}/", f"{RESOURCE}/openai"])
def test_deployment_is_part_of_the_url(base_url: str) -> None:
    request = azure(base_url).encode(make_attempt(model="my gpt/5"), CANARY)

    assert request.url == f"{RESOURCE}/openai/deployments/my%20gpt%2F5/chat/completions?api-version=2024-10-21"
    assert request.method == "POST"


def test_key_is_sent_in_the_api_key_header() -> None:
    request = azure(headers={"x-team": "blue"}).encode(make_attempt(), CANARY)

    assert (request.headers["api-key"], request.headers["x-team"]) == (CANARY, "blue")
    assert "Authorization" not in request.headers
    assert "api-key" not in azure().encode(make_attempt(), "").headers


def test_body_follows_the_openai_quirks() -> None:
    body = azure().encode(make_attempt(model="gpt-6-luna", sampling=Sampling(7)), CANARY).body

    assert b'"max_completion_tokens":7' in body


def test_probe_lists_the_models_of_the_resource() -> None:
    request = azure().probe_request(CANARY)

    assert (request.method, request.url) == ("GET", f"{RESOURCE}/openai/models?api-version=2024-10-21")
    assert request.headers == {"api-key": CANARY}


def test_first_chunk_may_have_no_choice() -> None:
    reader = azure().stream_reader()

    events = [*reader.feed(recorded("chat_completions/azure_filter_first.sse")), *reader.end()]

    assert completed_parts(events) == (Text("Hi"),)


def test_response_is_decoded() -> None:
    assert finished_event(azure().decode(recorded("openai/text.json"))).reason is FinishReason.STOP


def test_filtered_prompt_is_content_blocked() -> None:
    body = b'{"error":{"code":"content_filter","message":"The response was filtered","status":400}}'

    assert isinstance(azure().error(400, {}, body), ContentBlocked)
