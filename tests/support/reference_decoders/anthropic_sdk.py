"""Decode responses of the Messages API with Anthropic's SDK."""

from __future__ import annotations

from typing import Any

import httpx2
from anthropic import Anthropic

from tests.support.reference_decoders.answer import Counts, ReferenceAnswer, count, is_possible, reference_answer

REQUEST: Any = {"model": "claude-opus-5-5", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}


class AnthropicReference:
    """The SDK over a transport that returns the given bytes."""

    def __init__(self) -> None:
        self._content, self._media_type = b"", ""
        transport = httpx2.MockTransport(self._respond)
        self._sdk = Anthropic(api_key="key", http_client=httpx2.Client(transport=transport), max_retries=0)

    def message(self, body: bytes) -> ReferenceAnswer:
        self._content, self._media_type = body, "application/json"
        return _answer(self._sdk.messages.create(**REQUEST))

    def message_stream(self, stream: bytes) -> ReferenceAnswer:
        self._content, self._media_type = stream, "text/event-stream"
        with self._sdk.messages.stream(**REQUEST) as events:
            return _answer(events.get_final_message())

    def _respond(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": self._media_type}, content=self._content)


def _answer(message: Any) -> ReferenceAnswer:
    text = "".join(block.text or "" for block in message.content if block.type == "text")
    calls = [(block.name, block.input) for block in message.content if block.type == "tool_use"]
    if message.stop_reason == "refusal" and not text and message.stop_details:
        text = message.stop_details.explanation or ""
    return reference_answer(text, calls, message.stop_reason, _usage(message.usage))


def _usage(usage: Any) -> Counts | None:
    if usage is None:
        return None
    details = usage.output_tokens_details
    given, output, read, written, thinking = map(
        count,
        (
            *(usage.input_tokens, usage.output_tokens),
            *(usage.cache_read_input_tokens, usage.cache_creation_input_tokens),
            details.thinking_tokens if details else 0,
        ),
    )
    total = sum(each for each in (given, read, written) if type(each) is int)
    if not all(is_possible((each, each, each, 0, 0)) for each in (given, read, written)):
        return total, None, read, written, thinking
    return total, output, read, written, thinking
