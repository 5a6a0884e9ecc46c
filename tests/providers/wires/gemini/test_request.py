"""What is sent to Gemini."""

from __future__ import annotations

import json
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
from tests.support.gemini import BASE_URL, FIXTURES, KEY, QUESTIONS, WEATHER, checked, gemini, question, sent


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_a_body_is_sent_as_recorded(name: str) -> None:
    recorded = json.loads((FIXTURES / name / "request.json").read_text("utf-8"))

    assert sent(QUESTIONS[name]) == recorded


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_a_body_is_what_the_vendors_types_allow(name: str) -> None:
    body = sent(QUESTIONS[name])

    assert checked(body) == body


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda body: body["contents"][0]["parts"][0].update(texts="x"), "texts"),
        (lambda body: body["tools"][0]["functionDeclarations"][0].update(strict=True), "strict"),
        (lambda body: body.update(stream=True), "stream"),
    ],
)
def test_the_check_against_the_vendors_types_can_fail(change: Any, said: str) -> None:
    body = sent(QUESTIONS["parallel_tools"])
    change(body)

    with pytest.raises(ValueError, match=said):
        checked(body)


def test_a_plain_question_says_only_what_was_asked() -> None:
    assert sent(question()) == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def test_the_key_goes_in_a_header_and_never_in_the_address() -> None:
    request = gemini(headers={"x-team": "blue"}).encode(question(), KEY)

    assert (request.method, request.url) == ("POST", f"{BASE_URL}/models/gemini-4-argon:generateContent")
    assert dict(request.headers) == {
        "x-team": "blue",
        "x-goog-api-key": KEY,
        "Accept": "application/json",
        "Content-Type": "application/json",
    }
    assert KEY not in repr(request)


def test_a_streamed_question_has_an_address_of_its_own() -> None:
    request = gemini(f"{BASE_URL}/").encode(question(streaming=True), "")

    assert request.url == f"{BASE_URL}/models/gemini-4-argon:streamGenerateContent?alt=sse"
    assert request.headers["Accept"] == "text/event-stream"
    assert "x-goog-api-key" not in request.headers


@pytest.mark.parametrize(
    ("model", "written"),
    [
        ("models/gemini-4-argon", "gemini-4-argon"),
        ("../../v1/files", "..%2F..%2Fv1%2Ffiles"),
        ("a?key=b#c", "a%3Fkey%3Db%23c"),
    ],
)
def test_the_name_of_a_model_leads_to_no_other_address(model: str, written: str) -> None:
    assert gemini().encode(question(model=model), KEY).url == f"{BASE_URL}/models/{written}:generateContent"


def test_a_probe_asks_for_one_model() -> None:
    request = gemini().probe(KEY)

    assert (request.method, request.url, request.body) == ("GET", f"{BASE_URL}/models?pageSize=1", b"")
    assert request.headers == {"x-goog-api-key": KEY}


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        (ToolChoice(), None),
        (ToolChoice(ToolMode.AUTO), {"mode": "AUTO"}),
        (ToolChoice(ToolMode.REQUIRED), {"mode": "ANY"}),
        (ToolChoice(ToolMode.NONE), {"mode": "NONE"}),
        (ToolChoice(tool_name="get_weather"), {"mode": "ANY", "allowedFunctionNames": ["get_weather"]}),
    ],
)
def test_a_choice_of_tools_goes_out_with_them_only(choice: ToolChoice, calling: dict[str, Any] | None) -> None:
    body, bare = sent(question(tools=(WEATHER,), tool_choice=choice)), sent(question(tool_choice=choice))

    assert body.get("toolConfig") == (calling and {"functionCallingConfig": calling})
    assert bare.keys() == {"contents"}


@pytest.mark.parametrize(
    ("mode", "word"),
    [(None, "VALIDATED"), (ToolMode.AUTO, "VALIDATED"), (ToolMode.REQUIRED, "ANY"), (ToolMode.NONE, "NONE")],
)
def test_arguments_of_strict_tools_are_held_to_their_schema(mode: ToolMode | None, word: str) -> None:
    body = sent(question(tools=(Tool("look", strict=True),), tool_choice=ToolChoice(mode)))

    assert body["toolConfig"]["functionCallingConfig"] == {"mode": word}


def test_nothing_that_was_not_said_is_sent() -> None:
    body = sent(question(sampling=Sampling(temperature=0.0)))

    assert body["generationConfig"] == {"temperature": 0.0}


def test_options_are_merged_last_and_the_callers_beat_the_operators() -> None:
    operator = {"safetySettings": [], "generationConfig": {"topK": 1, "mediaResolution": "LOW"}}
    own = {"generationConfig": {"topK": 2, "temperature": None}, "cachedContent": "cachedContents/a"}

    body = sent(question(sampling=Sampling(temperature=1.0, seed=3), options=own), gemini(options=operator))

    assert body["generationConfig"] == {"seed": 3, "topK": 2, "mediaResolution": "LOW"}
    assert (body["safetySettings"], body["cachedContent"]) == ([], "cachedContents/a")


@pytest.mark.parametrize(
    ("model", "asked", "config"),
    [
        ("gemini-4-argon", ReasoningOptions(), None),
        ("gemini-4-argon", ReasoningOptions(include=True), {"includeThoughts": True}),
        ("gemini-4-argon", ReasoningOptions(Effort.HIGH), {"thinkingLevel": "high"}),
        ("gemini-3.8-flash", ReasoningOptions(Effort.MINIMAL), {"thinkingLevel": "minimal"}),
        ("gemini-9-new", ReasoningOptions(Effort.MAX), {"thinkingLevel": "high"}),
        ("gemini-9-new", ReasoningOptions(Effort.NONE), None),
        ("gemini-9-new", ReasoningOptions(Effort.HIGH, budget_tokens=5), {"thinkingBudget": 5}),
        ("gemini-2.5-flash", ReasoningOptions(Effort.NONE), {"thinkingBudget": 0}),
        ("gemini-2.5-flash", ReasoningOptions(Effort.MEDIUM), {"thinkingBudget": 8192}),
        ("gemini-2.5-flash", ReasoningOptions(Effort.HIGH, budget_tokens=777), {"thinkingBudget": 777}),
        ("gemini-2.5-flash-lite", ReasoningOptions(Effort.MINIMAL), {"thinkingBudget": 512}),
    ],
)
def test_thinking_goes_by_level_or_by_budget_and_never_by_both(
    model: str, asked: ReasoningOptions, config: dict[str, Any] | None
) -> None:
    body = sent(question(model=model, reasoning=asked))

    assert body.get("generationConfig", {}).get("thinkingConfig") == config


def test_models_that_take_a_format_or_tools_are_not_asked_for_both() -> None:
    both: dict[str, Any] = {"tools": (WEATHER,), "output_format": JsonObjectFormat()}

    with pytest.raises(CapabilityUnsupported, match="beside tools"):
        sent(question(model="gemini-2.5-flash", **both))

    assert sent(question(**both))["generationConfig"] == {"responseMimeType": "application/json"}
