"""OpenAI's models on Azure."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.content import Sampling, Text
from aimanager_server.core.errors import ContentBlocked
from aimanager_server.core.response import FinishReason
from aimanager_server.providers.wires.chat_completions.azure import Azure
from tests.support.chat_completions import CANARY, LIMITS, finished_of, fixture, parts_of, question, settings

PLACE = "https://my-resource.openai.azure.com"


def azure(base_url: str = PLACE, **more: Any) -> Azure:
    return Azure(settings(base_url, version="2024-10-21", **more), LIMITS)


@pytest.mark.parametrize("base_url", [PLACE, f"{PLACE}/", f"{PLACE}/openai"])
def test_a_deployment_has_an_address_of_its_own(base_url: str) -> None:
    request = azure(base_url).encode(question(model="my gpt/5"), CANARY)

    assert request.url == f"{PLACE}/openai/deployments/my%20gpt%2F5/chat/completions?api-version=2024-10-21"
    assert request.method == "POST"


def test_the_key_has_a_header_of_its_own() -> None:
    request = azure(headers={"x-team": "blue"}).encode(question(), CANARY)

    assert (request.headers["api-key"], request.headers["x-team"]) == (CANARY, "blue")
    assert "Authorization" not in request.headers
    assert "api-key" not in azure().encode(question(), "").headers


def test_the_body_is_that_of_openai() -> None:
    body = azure().encode(question(model="gpt-6-luna", sampling=Sampling(7)), CANARY).body

    assert b'"max_completion_tokens":7' in body


def test_a_probe_lists_the_models_of_the_resource() -> None:
    request = azure().probe(CANARY)

    assert (request.method, request.url) == ("GET", f"{PLACE}/openai/models?api-version=2024-10-21")
    assert request.headers == {"api-key": CANARY}


def test_the_first_chunk_may_hold_no_choice() -> None:
    reader = azure().reader()

    events = [*reader.feed(fixture("chat_completions/azure_filter_first.sse")), *reader.end()]

    assert parts_of(events) == (Text("Hi"),)


def test_a_whole_answer_is_read() -> None:
    assert finished_of(azure().decode(fixture("openai/text.json"))).reason is FinishReason.STOP


def test_a_filtered_prompt_is_told_apart() -> None:
    body = b'{"error":{"code":"content_filter","message":"The response was filtered","status":400}}'

    assert isinstance(azure().error(400, {}, body), ContentBlocked)
