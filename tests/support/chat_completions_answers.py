"""Recorded answers of the chat-completions wire, and what they say."""

from __future__ import annotations

import json

from aimanager_server.core.content import Part, Reasoning, Text, ToolCall
from aimanager_server.core.response import FinishReason
from tests.support.paths import FIXTURES

LOOK = (ToolCall("x1", "look", '{"at":1}'), ToolCall("x2", "look", '{"at":2}'))
ROME, OSLO = (
    ToolCall(f"call_{city.lower()}", "get_weather", json.dumps({"city": city}, separators=(",", ":")))
    for city in ("Rome", "Oslo")
)
ANSWERS: dict[str, tuple[tuple[Part, ...], FinishReason]] = {
    "openai/text": ((Text("Grüße aus Rom 😀."),), FinishReason.STOP),
    "openai/tools": ((ROME, OSLO), FinishReason.TOOL_CALLS),
    "openai/forced_tool": ((ROME,), FinishReason.TOOL_CALLS),
    "openai/refusal": ((Text("I cannot help with that."),), FinishReason.REFUSAL),
    "openai/length": ((Text("Once upon"),), FinishReason.MAX_TOKENS),
    "openai/filtered": ((), FinishReason.CONTENT_FILTER),
    "deepseek/reasoning": (
        (Reasoning("The user wants the weather."), Text("Let me look."), ROME),
        FinishReason.TOOL_CALLS,
    ),
    "chat_completions/mistral_thinking": ((Reasoning("Hmm, six."), Text("It is six.")), FinishReason.STOP),
    "chat_completions/xai": ((Reasoning("Hm."), Text("Yes.")), FinishReason.STOP),
    "chat_completions/groq_reasoning": ((Reasoning("Hm."), Text("Yes.")), FinishReason.STOP),
    "chat_completions/gemini_no_index": (LOOK, FinishReason.TOOL_CALLS),
    "chat_completions/counted_from_one": (LOOK, FinishReason.TOOL_CALLS),
    "chat_completions/azure_filter_first": ((Text("Hi"),), FinishReason.STOP),
    "chat_completions/no_done_no_usage": ((Text("Hi"),), FinishReason.STOP),
    "chat_completions/null_finish": ((Text("Hi"),), FinishReason.STOP),
    "chat_completions/data_after_the_end": ((Text("Hi"),), FinishReason.STOP),
    "chat_completions/cumulative_usage": ((Text("Hi you"),), FinishReason.STOP),
    "chat_completions/crlf": ((Text("Hi\u2028"),), FinishReason.STOP),
}
WHOLE = [name for name in ANSWERS if (FIXTURES / f"{name}.json").exists()]
STREAMED = [name for name in ANSWERS if (FIXTURES / f"{name}.sse").exists()]


def chunk(**delta: object) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


def body(message: dict[str, object], finish: str | None = "stop", **more: object) -> bytes:
    return json.dumps({"choices": [{"message": message, "finish_reason": finish}], **more}).encode()
