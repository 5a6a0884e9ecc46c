"""Client-side checks: errors name the parameter and its value, and nothing is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aimanager import AIManager, AsyncAIManager, InvalidRequestError, attachment, pdf, tool, tool_result, user
from aimanager.options import RequestOptions
from aimanager.types.response import ToolCall
from aimanager.v1 import content_pb2
from tests.support.fake_gateway.server import FakeGateway

LONE_SURROGATE = "a\ud800"  # half of a surrogate pair: UTF-8 cannot encode it


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        (RequestOptions(model=LONE_SURROGATE), "model"),
        (RequestOptions(system=LONE_SURROGATE), "system"),
        (RequestOptions(stop=["END", LONE_SURROGATE]), "stop"),
        (RequestOptions(labels={"team": LONE_SURROGATE}), "labels"),
        (RequestOptions(labels={LONE_SURROGATE: "a"}), "labels"),
        (RequestOptions(idempotency_key=LONE_SURROGATE), "idempotency_key"),
        (RequestOptions(end_user_id=LONE_SURROGATE), "end_user_id"),
        (RequestOptions(tool_choice=LONE_SURROGATE), "tool_choice"),
        (RequestOptions(provider_options={LONE_SURROGATE: {}}), "provider_options"),
    ],
)
def test_invalid_utf8_in_an_option_names_the_parameter(ai: AIManager, options: RequestOptions, parameter: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"^{parameter} must be valid UTF-8, got") as rejected:
        ai.request("Hi", **options)

    assert repr(LONE_SURROGATE[1])[1:-1] in str(rejected.value)


def test_invalid_utf8_in_a_prompt_does_not_show_the_text(ai: AIManager) -> None:
    with pytest.raises(InvalidRequestError) as rejected:
        ai.request(f"Secret {LONE_SURROGATE}")

    assert str(rejected.value) == "prompt must be valid UTF-8, got '\\ud800' at character 8"


def test_invalid_utf8_in_messages_tools_and_attachments_is_rejected(tmp_path: Path) -> None:
    call = ToolCall(content_pb2.ToolCall(id="1"))
    unreadable = tmp_path / "a\udcff.txt"
    unreadable.write_bytes(b"text")

    for build in (
        lambda: user(LONE_SURROGATE),
        lambda: tool(LONE_SURROGATE),
        lambda: tool("name", description=LONE_SURROGATE),
        lambda: tool_result(call, LONE_SURROGATE),
        lambda: attachment(f"https://files.example/{LONE_SURROGATE}.png"),
        lambda: attachment(b"text", filename=LONE_SURROGATE),
        lambda: attachment(unreadable),
    ):
        with pytest.raises(InvalidRequestError, match="must be valid UTF-8"):
            build()
    assert attachment(unreadable, filename="a.txt").filename == "a.txt"


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (["fine", LONE_SURROGATE], {}, "inputs[1] must be valid UTF-8, got '\\ud800' at character 1"),
        (LONE_SURROGATE, {}, "inputs[0] must be valid UTF-8, got '\\ud800' at character 1"),
        ("a", {"model": LONE_SURROGATE}, "model must be valid UTF-8, got '\\ud800' at character 1"),
        ("a", {"idempotency_key": LONE_SURROGATE}, "idempotency_key must be valid UTF-8, got '\\ud800' at character 1"),
        ("a", {"dimensions": 2**31}, "dimensions must be a 32-bit integer, got 2147483648"),
        ("a", {"dimensions": "8"}, "dimensions must be a 32-bit integer, got '8'"),
    ],
)
def test_invalid_embedding_input_names_the_parameter(
    fake: FakeGateway, ai: AIManager, inputs: Any, options: Any, message: str
) -> None:
    with pytest.raises(InvalidRequestError) as rejected:
        ai.embed(inputs, **options)

    assert str(rejected.value).startswith(message)
    assert not fake.received


async def test_async_client_rejects_the_same(async_ai: AsyncAIManager) -> None:
    with pytest.raises(InvalidRequestError, match="dimensions must be a 32-bit integer"):
        await async_ai.embed("a", dimensions=2**40)
    with pytest.raises(InvalidRequestError, match="top_k must be a 32-bit integer"):
        await async_ai.request("Hi", top_k=2**40)


def test_embedding_inputs_must_be_str(ai: AIManager) -> None:
    with pytest.raises(InvalidRequestError, match=r"inputs\[0\] must be a str, got int"):
        ai.embed([3])  # type: ignore[list-item]


@pytest.mark.parametrize("parameter", ["max_tokens", "top_k", "seed"])
def test_number_outside_of_its_field_is_rejected(ai: AIManager, parameter: str) -> None:
    options: Any = {parameter: 2**80}

    with pytest.raises(InvalidRequestError, match=f"{parameter} must be a (32|64)-bit integer, got {2**80}"):
        ai.request("Hi", **options)


@pytest.mark.parametrize("parameter", ["min_context_window_tokens", "max_results"])
def test_number_outside_of_a_suggestion_field_is_rejected(ai: AIManager, parameter: str) -> None:
    options: Any = {parameter: 2**40}

    with pytest.raises(InvalidRequestError, match=f"{parameter} must be a 32-bit integer, got {2**40}"):
        ai.models.suggest(**options)


def test_invalid_utf8_in_names_is_rejected(ai: AIManager) -> None:
    for call in (
        lambda: ai.models.get(LONE_SURROGATE),
        lambda: ai.models.list(LONE_SURROGATE),
        lambda: ai.models.suggest(providers=[LONE_SURROGATE]),
        lambda: ai.health.list([LONE_SURROGATE]),
        lambda: ai.metrics.get_summary(LONE_SURROGATE),
    ):
        with pytest.raises(InvalidRequestError, match="must be valid UTF-8"):
            call()


def test_str_in_place_of_a_list_is_rejected(ai: AIManager) -> None:
    with pytest.raises(InvalidRequestError, match="providers must be a list of names, got 'mock'") as rejected:
        ai.health.list("mock")

    assert rejected.value.solution == "Write providers=['mock']."


@pytest.mark.parametrize("url", ["http://files.example/a.png", "HTTP://files.example/a.png", "ftp://files.example/a"])
def test_attachment_url_must_use_https(ai: AIManager, url: str) -> None:
    with pytest.raises(InvalidRequestError, match="must use https, got") as rejected:
        ai.request("Hi", attachments=[url])

    assert rejected.value.solution.startswith("Pass an https URL")
    with pytest.raises(InvalidRequestError, match="must use https"):
        pdf(url)


def test_url_scheme_is_case_insensitive() -> None:
    assert attachment("HTTPS://files.example/a.png").uri == "HTTPS://files.example/a.png"
