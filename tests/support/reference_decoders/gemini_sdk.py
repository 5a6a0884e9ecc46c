"""Decode responses of generateContent with Google's SDK."""

from __future__ import annotations

import httpx
from google import genai
from google.genai import types

from tests.support.reference_decoders.answer import Counts, ReferenceAnswer, reference_answer


class GeminiReference:
    """The SDK over a transport that returns the given bytes."""

    def __init__(self) -> None:
        self._content, self._media_type, self._requests = b"", "", 0
        http = httpx.Client(transport=httpx.MockTransport(self._respond))
        self._sdk = genai.Client(api_key="key", http_options=types.HttpOptions(httpx_client=http))

    def content(self, body: bytes) -> ReferenceAnswer:
        self._content, self._media_type, self._requests = body, "application/json", 0
        return _answer([self._sdk.models.generate_content(model="m", contents="Hi")])

    def content_stream(self, stream: bytes) -> ReferenceAnswer:
        self._content, self._media_type, self._requests = stream, "text/event-stream", 0
        return _answer(list(self._sdk.models.generate_content_stream(model="m", contents="Hi")))

    def _respond(self, request: httpx.Request) -> httpx.Response:
        self._requests += 1
        if self._requests > 1:
            raise ValueError("the SDK asks for the continuation of this response by itself")
        return httpx.Response(200, headers={"content-type": self._media_type}, content=self._content)


def _answer(chunks: list[types.GenerateContentResponse]) -> ReferenceAnswer:
    candidates = [candidate for chunk in chunks for candidate in chunk.candidates or () if not candidate.index]
    if not candidates:
        raise ValueError("no candidate")
    parts = [part for candidate in candidates for part in (candidate.content and candidate.content.parts) or ()]
    text = "".join(part.text for part in parts if part.text and not part.thought)
    calls = [(call.name, call.args) for part in parts if (call := part.function_call)]
    reasons = [candidate.finish_reason.value for candidate in candidates if candidate.finish_reason]
    return reference_answer(text, calls, reasons[-1] if reasons else "", _usage(chunks))


def _usage(chunks: list[types.GenerateContentResponse]) -> Counts | None:
    """Return the last count of each kind, because a chunk may omit some."""
    found: dict[str, int] = {}
    for chunk in chunks:
        if chunk.usage_metadata is not None:
            found.update({name: count for name, count in chunk.usage_metadata if isinstance(count, int)})
    if not found:
        return None
    thoughts = found.get("thoughts_token_count", 0)
    return (
        found.get("prompt_token_count", 0) + found.get("tool_use_prompt_token_count", 0),
        found.get("candidates_token_count", 0) + thoughts,
        found.get("cached_content_token_count", 0),
        0,
        thoughts,
    )
