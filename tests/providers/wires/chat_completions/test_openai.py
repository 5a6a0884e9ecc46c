"""OpenAI: responses compared with what the SDK parses, requests with its types."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
import pytest
from openai import AsyncOpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)

from aimanager_server.core.content import (
    Attachment,
    Effort,
    ReasoningOptions,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
    ToolResult,
)
from aimanager_server.core.request import Attempt
from aimanager_server.core.response import Event, FinishReason
from aimanager_server.providers.wires.chat_completions.vendors import openai_quirks
from tests.support.chat_completions import assistant, chat_wire, make_attempt, read_stream, recorded, sent_body
from tests.support.vendor_sdks import validated_by
from tests.support.wire_cases import completed_parts, finished_event, user

CASES = ["text", "tools", "refusal", "length"]
LOOK = Tool("look", "Looks.", '{"type":"object","properties":{"at":{"type":"string"}}}', strict=True)
CONVERSATION = (
    user("Look at this.", Attachment("image/png", data=b"\x89PNG"), Attachment("application/pdf", data=b"%PDF")),
    assistant("I will.", ToolCall("a", "look", '{"at":"it"}'), ToolCall("b", "look", "{}")),
    user(ToolResult("a", "look", "sand"), ToolResult("b", "look", "dark", is_error=True), "Well?"),
)
ATTEMPTS = {
    "plain": make_attempt(provider="openai", model="gpt-6-luna"),
    "sampled": make_attempt(model="gpt-4.1", sampling=Sampling(7, 0.0, 0.5, None, 3, ("END",))),
    "reasoned": make_attempt(model="gpt-6-luna", reasoning=ReasoningOptions(Effort.XHIGH), sampling=Sampling(99)),
    "tools": make_attempt(
        *CONVERSATION,
        model="gpt-6-luna",
        system_instruction="Be brief.",
        tools=(LOOK, Tool("stop")),
        tool_choice=ToolChoice(ToolMode.REQUIRED, parallel=False),
    ),
    "named": make_attempt(model="gpt-6-luna", tools=(LOOK,), tool_choice=ToolChoice(tool_name="look"), streaming=True),
}


def sdk_client(content: bytes, content_type: str) -> AsyncOpenAI:
    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": content_type}, content=content)

    transport = httpx.MockTransport(respond)
    return AsyncOpenAI(api_key="key", http_client=httpx.AsyncClient(transport=transport), max_retries=0)


async def sdk_completion(name: str) -> ChatCompletion:
    async with sdk_client(recorded(name), "application/json") as sdk:
        return await sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])


async def sdk_streamed_completion(name: str) -> ChatCompletion:
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    async with sdk_client(recorded(name), "text/event-stream") as sdk:
        stream = await sdk.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hi"}], stream=True, stream_options={"include_usage": True}
        )
        async for chunk in stream:
            state.handle_chunk(chunk)
    return state.current_completion_snapshot


def sdk_summary(completion: ChatCompletion) -> dict[str, Any]:
    """Return what the SDK parsed."""
    message, usage = completion.choices[0].message, completion.usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    details = usage.prompt_tokens_details
    return {
        "text": (message.content or "") + (message.refusal or ""),
        "refused": bool(message.refusal),
        "calls": [
            (call.id, call.function.name, call.function.arguments)
            for call in message.tool_calls or ()
            if call.type == "function"
        ],
        "finish": completion.choices[0].finish_reason,
        "usage": (usage.prompt_tokens, usage.completion_tokens, usage.completion_tokens_details.reasoning_tokens),
        "cached": details.cached_tokens if details else 0,
    }


def summary(events: list[Event]) -> dict[str, Any]:
    parts, finished = completed_parts(events), finished_event(events)
    usage = finished.usage
    return {
        "text": "".join(part.text for part in parts if isinstance(part, Text)),
        "refused": finished.reason is FinishReason.REFUSAL,
        "calls": [(part.id, part.name, part.arguments_json) for part in parts if isinstance(part, ToolCall)],
        "finish": finished.provider_reason,
        "usage": (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens),
        "cached": usage.cache_read_tokens,
    }


async def test_responses_are_parsed_as_the_sdk_parses_them() -> None:
    names = [*(f"openai/{case}.json" for case in CASES), "openai/forced_tool.json"]
    expected = {name: sdk_summary(await sdk_completion(name)) for name in names}

    assert {name: summary(chat_wire("openai").decode(recorded(name))) for name in names} == expected


async def test_streams_are_parsed_as_the_sdk_parses_them() -> None:
    names = [*(f"openai/{case}.sse" for case in CASES), "deepseek/reasoning.sse"]
    expected = {name: sdk_summary(await sdk_streamed_completion(name)) for name in names}

    parsed = {name: summary(read_stream(recorded(name), "openai")) for name in names}

    # The SDK has no field for DeepSeek's cached tokens.
    parsed["deepseek/reasoning.sse"]["cached"] = 0
    assert parsed == expected


def test_bodies_match_the_sdk_types() -> None:
    bodies = {name: sent_body(attempt, "openai") for name, attempt in ATTEMPTS.items()}

    assert {name: validated_by(request_type(ATTEMPTS[name]), body) for name, body in bodies.items()} == bodies


def request_type(attempt: Attempt[Any]) -> Any:
    return CompletionCreateParamsStreaming if attempt.is_streamed else CompletionCreateParamsNonStreaming


def test_sdk_types_reject_a_wrong_type() -> None:
    body = sent_body(ATTEMPTS["tools"], "openai")
    body["messages"][2]["tool_calls"][0]["type"] = "tool"

    with pytest.raises(ValueError, match="ToolCallParam"):
        validated_by(CompletionCreateParamsNonStreaming, body)


def test_reasoning_models_use_the_developer_role() -> None:
    body = sent_body(ATTEMPTS["tools"], "openai")

    assert body["messages"][0] == {"role": "developer", "content": "Be brief."}


def test_older_models_use_the_system_role_without_effort() -> None:
    body = sent_body(
        make_attempt(model="gpt-4o", system_instruction="Be brief.", reasoning=ReasoningOptions(Effort.NONE)), "openai"
    )

    assert (body["messages"][0]["role"], "reasoning_effort" in body) == ("system", False)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-6-luna"])
def test_limit_is_max_completion_tokens(model: str) -> None:
    assert sent_body(make_attempt(model=model, sampling=Sampling(7)), "openai")["max_completion_tokens"] == 7


@pytest.mark.parametrize(
    ("model", "role"),
    [
        ("gpt-3.5-turbo", "system"),
        ("gpt-4.1-mini", "system"),
        ("gpt-4o-2024-08-06", "system"),
        ("ft:gpt-4o:org::id", "system"),
        ("chatgpt-4o-latest", "system"),
        ("gpt-5", "developer"),
        ("gpt-10-sol", "developer"),
        ("gpt-41-sol", "developer"),
        ("o3", "developer"),
        ("something-new", "developer"),
    ],
)
def test_model_name_selects_the_quirks(model: str, role: str) -> None:
    assert openai_quirks(model).system_role == role
