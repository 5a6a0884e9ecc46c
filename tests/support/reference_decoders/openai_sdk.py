"""Decode responses of Chat Completions and of the Responses API with OpenAI's SDK."""

from __future__ import annotations

from typing import Any

import httpx2
from openai import OpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState

from tests.support.reference_decoders.answer import ReferenceAnswer, count, reference_answer

TERMINAL_EVENTS = ("response.completed", "response.incomplete", "response.failed")


class OpenAIReference:
    """The SDK over a transport that returns the given bytes."""

    def __init__(self) -> None:
        self._content, self._media_type = b"", ""
        transport = httpx2.MockTransport(self._respond)
        self._sdk = OpenAI(api_key="key", http_client=httpx2.Client(transport=transport), max_retries=0)

    def chat_completion(self, body: bytes) -> ReferenceAnswer:
        self._content, self._media_type = body, "application/json"
        return _chat_answer(self._sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}]))

    def chat_completion_stream(self, stream: bytes) -> ReferenceAnswer:
        self._content, self._media_type = stream, "text/event-stream"
        state: Any = ChatCompletionStreamState()
        usage: Any = None
        for chunk in self._sdk.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hi"}], stream=True
        ):
            state.handle_chunk(chunk)
            usage = chunk.usage or usage
        completion = state.current_completion_snapshot
        completion.usage = usage
        return _chat_answer(completion)

    def response(self, body: bytes) -> ReferenceAnswer:
        self._content, self._media_type = body, "application/json"
        return _response_answer(self._sdk.responses.create(model="m", input="Hi"))

    def response_stream(self, stream: bytes) -> ReferenceAnswer:
        """Return the final response; if it has no output, with the items that were completed before."""
        self._content, self._media_type = stream, "text/event-stream"
        items: list[Any] = []
        events: Any = self._sdk.responses.create(model="m", input="Hi", stream=True)
        for event in events:
            if event.type == "response.output_item.done":
                items.append(event.item)
            elif event.type in TERMINAL_EVENTS:
                event.response.output = event.response.output or items
                return _response_answer(event.response)
        raise ValueError("the stream has no final response")

    def _respond(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": self._media_type}, content=self._content)


def _chat_answer(completion: Any) -> ReferenceAnswer:
    if completion.choices is None:
        raise ValueError(f"no choices: {completion}")
    choice = next(choice for choice in completion.choices if not choice.index)
    message, usage = choice.message, completion.usage
    calls = [(call.function.name, call.function.arguments) for call in message.tool_calls or ()]
    return reference_answer(
        (message.content or "") + (message.refusal or ""), calls, choice.finish_reason, _chat_usage(usage)
    )


def _chat_usage(usage: Any) -> Any:
    if usage is None:
        return None
    details, output = usage.prompt_tokens_details, usage.completion_tokens_details
    cached = (details.cached_tokens, getattr(details, "cache_write_tokens", 0)) if details else (0, 0)
    totals = usage.prompt_tokens, usage.completion_tokens
    return tuple(map(count, (*totals, *cached, output.reasoning_tokens if output else 0)))


def _response_answer(response: Any) -> ReferenceAnswer:
    if response.error:
        raise ValueError(f"failed: {response.error}")
    text, calls = "", []
    for item in response.output:
        if item.type == "message":
            for content in item.content:
                text += getattr(content, {"output_text": "text", "refusal": "refusal"}.get(content.type, ""), "") or ""
        elif item.type == "function_call":
            calls.append((item.name, item.arguments))
    details, usage = response.incomplete_details, response.usage
    finish = (details.reason if details and response.status == "incomplete" else "") or response.status
    return reference_answer(text, calls, finish, _response_usage(usage))


def _response_usage(usage: Any) -> Any:
    if usage is None:
        return None
    details, output = usage.input_tokens_details, usage.output_tokens_details
    cached = (details.cached_tokens, getattr(details, "cache_write_tokens", 0)) if details else (0, 0)
    totals = usage.input_tokens, usage.output_tokens
    return tuple(map(count, (*totals, *cached, output.reasoning_tokens if output else 0)))
