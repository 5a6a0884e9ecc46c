"""Request bodies of the Gemini API."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.content import (
    Effort,
    JsonObjectFormat,
    ReasoningOptions,
    Sampling,
    Tool,
    ToolChoice,
    ToolMode,
)
from aimanager_server.core.errors import CapabilityUnsupported
from tests.support.gemini import (
    BASE_URL,
    CASES,
    KEY,
    RECORDED_ATTEMPTS,
    WEATHER,
    gemini_wire,
    make_attempt,
    sent_body,
    validated_by_sdk,
)


def test_bodies_match_the_recordings() -> None:
    bodies = {name: sent_body(call) for name, call in RECORDED_ATTEMPTS.items()}

    assert bodies == {name: CASES.request(name) for name in RECORDED_ATTEMPTS}


def test_bodies_match_the_sdk_types() -> None:
    bodies = {name: sent_body(call) for name, call in RECORDED_ATTEMPTS.items()}

    assert {name: validated_by_sdk(body) for name, body in bodies.items()} == bodies


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda body: body["contents"][0]["parts"][0].update(texts="x"), "texts"),
        (lambda body: body["tools"][0]["functionDeclarations"][0].update(strict=True), "strict"),
        (lambda body: body.update(stream=True), "stream"),
    ],
)
def test_sdk_types_reject_unknown_fields(change: Any, field: str) -> None:
    body = sent_body(RECORDED_ATTEMPTS["parallel_tools"])
    change(body)

    with pytest.raises(ValueError, match=field):
        validated_by_sdk(body)


def test_unset_fields_are_omitted() -> None:
    assert sent_body(make_attempt()) == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def test_key_is_sent_in_a_header_only() -> None:
    request = gemini_wire(headers={"x-team": "blue"}).encode(make_attempt(), KEY)

    assert (request.method, request.url) == ("POST", f"{BASE_URL}/models/gemini-4-argon:generateContent")
    assert dict(request.headers) == {
        "x-team": "blue",
        "x-goog-api-key": KEY,
        "Accept": "application/json",
        "Content-Type": "application/json",
    }
    assert KEY not in repr(request)


def test_streamed_call_uses_the_streaming_url() -> None:
    request = gemini_wire(f"{BASE_URL}/").encode(make_attempt(streaming=True), "")

    assert request.url == f"{BASE_URL}/models/gemini-4-argon:streamGenerateContent?alt=sse"
    assert request.headers["Accept"] == "text/event-stream"
    assert "x-goog-api-key" not in request.headers


@pytest.mark.parametrize(
    ("model", "encoded"),
    [
        ("models/gemini-4-argon", "gemini-4-argon"),
        ("../../v1/files", "..%2F..%2Fv1%2Ffiles"),
        ("a?key=b#c", "a%3Fkey%3Db%23c"),
    ],
)
def test_model_name_is_escaped_in_the_url(model: str, encoded: str) -> None:
    assert gemini_wire().encode(make_attempt(model=model), KEY).url == f"{BASE_URL}/models/{encoded}:generateContent"


def test_probe_requests_one_model() -> None:
    request = gemini_wire().probe_request(KEY)

    assert (request.method, request.url, request.body) == ("GET", f"{BASE_URL}/models?pageSize=1", b"")
    assert request.headers == {"x-goog-api-key": KEY}


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (ToolChoice(), None),
        (ToolChoice(ToolMode.AUTO), {"mode": "AUTO"}),
        (ToolChoice(ToolMode.REQUIRED), {"mode": "ANY"}),
        (ToolChoice(ToolMode.NONE), {"mode": "NONE"}),
        (ToolChoice(tool_name="get_weather"), {"mode": "ANY", "allowedFunctionNames": ["get_weather"]}),
    ],
)
def test_tool_choice_is_sent_only_with_tools(choice: ToolChoice, config: dict[str, Any] | None) -> None:
    body, without_tools = (
        sent_body(make_attempt(tools=(WEATHER,), tool_choice=choice)),
        sent_body(make_attempt(tool_choice=choice)),
    )

    assert body.get("toolConfig") == (config and {"functionCallingConfig": config})
    assert without_tools.keys() == {"contents"}


@pytest.mark.parametrize(
    ("mode", "encoded"),
    [(None, "VALIDATED"), (ToolMode.AUTO, "VALIDATED"), (ToolMode.REQUIRED, "ANY"), (ToolMode.NONE, "NONE")],
)
def test_strict_tools_use_validated_mode(mode: ToolMode | None, encoded: str) -> None:
    body = sent_body(make_attempt(tools=(Tool("look", strict=True),), tool_choice=ToolChoice(mode)))

    assert body["toolConfig"]["functionCallingConfig"] == {"mode": encoded}


def test_unset_sampling_options_are_omitted() -> None:
    body = sent_body(make_attempt(sampling=Sampling(temperature=0.0)))

    assert body["generationConfig"] == {"temperature": 0.0}


def test_native_options_of_the_call_override_those_of_the_operator() -> None:
    operator_options = {"safetySettings": [], "generationConfig": {"topK": 1, "mediaResolution": "LOW"}}
    call_options = {"generationConfig": {"topK": 2, "temperature": None}, "cachedContent": "cachedContents/a"}

    body = sent_body(
        make_attempt(sampling=Sampling(temperature=1.0, seed=3), options=call_options),
        gemini_wire(options=operator_options),
    )

    assert body["generationConfig"] == {"seed": 3, "topK": 2, "mediaResolution": "LOW"}
    assert (body["safetySettings"], body["cachedContent"]) == ([], "cachedContents/a")


@pytest.mark.parametrize(
    ("model", "reasoning", "config"),
    [
        ("gemini-4-argon", ReasoningOptions(), None),
        ("gemini-4-argon", ReasoningOptions(include=True), {"includeThoughts": True}),
        ("gemini-4-argon", ReasoningOptions(Effort.HIGH), {"thinkingLevel": "high"}),
        ("gemini-3.8-flash", ReasoningOptions(Effort.MINIMAL), {"thinkingLevel": "minimal"}),
        ("gemini-9-new", ReasoningOptions(Effort.MAX), {"thinkingLevel": "high"}),
        ("gemini-9-new", ReasoningOptions(Effort.NONE), {"thinkingLevel": "minimal"}),
        ("gemini-9-new", ReasoningOptions(Effort.HIGH, budget_tokens=5), {"thinkingBudget": 5}),
        ("gemini-2.5-flash", ReasoningOptions(Effort.NONE), {"thinkingBudget": 0}),
        ("gemini-2.5-flash", ReasoningOptions(Effort.MEDIUM), {"thinkingBudget": 8192}),
        ("gemini-2.5-flash", ReasoningOptions(Effort.HIGH, budget_tokens=777), {"thinkingBudget": 777}),
        ("gemini-2.5-flash-lite", ReasoningOptions(Effort.MINIMAL), {"thinkingBudget": 512}),
    ],
)
def test_thinking_is_sent_as_level_or_budget(
    model: str, reasoning: ReasoningOptions, config: dict[str, Any] | None
) -> None:
    body = sent_body(make_attempt(model=model, reasoning=reasoning))

    assert body.get("generationConfig", {}).get("thinkingConfig") == config


def test_older_models_reject_an_output_format_with_tools() -> None:
    both: dict[str, Any] = {"tools": (WEATHER,), "output_format": JsonObjectFormat()}

    with pytest.raises(CapabilityUnsupported, match="combined with tools"):
        sent_body(make_attempt(model="gemini-2.5-flash", **both))

    assert sent_body(make_attempt(**both))["generationConfig"] == {"responseMimeType": "application/json"}
