"""OpenAI's server: our reading against its own SDK's, our requests against its own types."""

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
from aimanager_server.core.request import Call
from aimanager_server.core.response import Event, FinishReason
from aimanager_server.providers.wires.chat_completions.vendors import quirks_of
from tests.support.chat_completions import (
    assistant,
    dialect,
    finished_of,
    fixture,
    parts_of,
    question,
    read_all,
    sent,
    user,
)
from tests.support.vendor_sdks import seen_by

CASES = ["text", "tools", "refusal", "length"]
LOOK = Tool("look", "Looks.", '{"type":"object","properties":{"at":{"type":"string"}}}', strict=True)
CONVERSATION = (
    user("Look at this.", Attachment("image/png", data=b"\x89PNG"), Attachment("application/pdf", data=b"%PDF")),
    assistant("I will.", ToolCall("a", "look", '{"at":"it"}'), ToolCall("b", "look", "{}")),
    user(ToolResult("a", "look", "sand"), ToolResult("b", "look", "dark", is_error=True), "Well?"),
)
CALLS = {
    "plain": question(provider="openai", model="gpt-6-luna"),
    "sampled": question(model="gpt-4.1", sampling=Sampling(7, 0.0, 0.5, None, 3, ("END",))),
    "reasoned": question(model="gpt-6-luna", reasoning=ReasoningOptions(Effort.XHIGH), sampling=Sampling(99)),
    "tools": question(
        *CONVERSATION,
        model="gpt-6-luna",
        system_instruction="Be brief.",
        tools=(LOOK, Tool("stop")),
        tool_choice=ToolChoice(ToolMode.REQUIRED, parallel=False),
    ),
    "named": question(model="gpt-6-luna", tools=(LOOK,), tool_choice=ToolChoice(tool_name="look"), streaming=True),
}


def client(content: bytes, content_type: str) -> AsyncOpenAI:
    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": content_type}, content=content)

    transport = httpx.MockTransport(respond)
    return AsyncOpenAI(api_key="key", http_client=httpx.AsyncClient(transport=transport), max_retries=0)


async def whole(name: str) -> ChatCompletion:
    async with client(fixture(name), "application/json") as sdk:
        return await sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])


async def streamed(name: str) -> ChatCompletion:
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    async with client(fixture(name), "text/event-stream") as sdk:
        stream = await sdk.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hi"}], stream=True, stream_options={"include_usage": True}
        )
        async for chunk in stream:
            state.handle_chunk(chunk)
    return state.current_completion_snapshot


def facts_of(answer: ChatCompletion) -> dict[str, Any]:
    """What the SDK understood."""
    message, usage = answer.choices[0].message, answer.usage
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
        "finish": answer.choices[0].finish_reason,
        "usage": (usage.prompt_tokens, usage.completion_tokens, usage.completion_tokens_details.reasoning_tokens),
        "cached": details.cached_tokens if details else 0,
    }


def our_facts_of(events: list[Event]) -> dict[str, Any]:
    parts, finished = parts_of(events), finished_of(events)
    usage = finished.usage
    return {
        "text": "".join(part.text for part in parts if isinstance(part, Text)),
        "refused": finished.reason is FinishReason.REFUSAL,
        "calls": [(part.id, part.name, part.arguments_json) for part in parts if isinstance(part, ToolCall)],
        "finish": finished.provider_reason,
        "usage": (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens),
        "cached": usage.cache_read_tokens,
    }


@pytest.mark.parametrize("case", [*(f"openai/{case}" for case in CASES), "openai/forced_tool"])
async def test_we_read_whole_answers_as_the_sdk_does(case: str) -> None:
    theirs = await whole(f"{case}.json")

    assert our_facts_of(dialect("openai").decode(fixture(f"{case}.json"))) == facts_of(theirs)


@pytest.mark.parametrize("case", [*(f"openai/{case}" for case in CASES), "deepseek/reasoning"])
async def test_we_read_streams_as_the_sdk_does(case: str) -> None:
    theirs = await streamed(f"{case}.sse")

    ours = our_facts_of(read_all(fixture(f"{case}.sse"), "openai"))
    # The SDK does not know the field in which DeepSeek counts its cache.
    assert ours | {"cached": 0} == facts_of(theirs) | {"cached": 0}


@pytest.mark.parametrize("case", CALLS)
def test_every_body_fits_the_sdks_types(case: str) -> None:
    call: Call = CALLS[case]
    kind = CompletionCreateParamsStreaming if call.streaming else CompletionCreateParamsNonStreaming

    body = sent(call, "openai")

    assert seen_by(kind, body) == body


def test_the_check_against_the_sdks_types_can_fail() -> None:
    body = sent(CALLS["tools"], "openai")
    body["messages"][2]["tool_calls"][0]["type"] = "tool"

    with pytest.raises(ValueError, match="ToolCallParam"):
        seen_by(CompletionCreateParamsNonStreaming, body)


def test_reasoning_models_are_instructed_by_the_developer() -> None:
    body = sent(CALLS["tools"], "openai")

    assert body["messages"][0] == {"role": "developer", "content": "Be brief."}


def test_older_models_are_instructed_by_the_system_and_told_no_effort() -> None:
    body = sent(
        question(model="gpt-4o", system_instruction="Be brief.", reasoning=ReasoningOptions(Effort.NONE)), "openai"
    )

    assert (body["messages"][0]["role"], "reasoning_effort" in body) == ("system", False)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-6-luna"])
def test_the_limit_counts_reasoning_for_every_model(model: str) -> None:
    assert sent(question(model=model, sampling=Sampling(7)), "openai")["max_completion_tokens"] == 7


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
def test_a_model_is_told_by_its_family(model: str, role: str) -> None:
    assert quirks_of(model).system_role == role
