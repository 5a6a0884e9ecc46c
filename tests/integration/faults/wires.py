"""Responses in the bytes of the anthropic and chat_completions wires, complete or as the events of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.integration.faults.upstream import Request

WORDS = tuple(f"word{number} " for number in range(60))
TEXT = "".join(WORDS)
INPUT_TOKENS = 11
"""Input tokens that every response reports."""

DONE = b"data: [DONE]\n\n"
_CHAT = {"id": "chatcmpl-1", "created": 1, "model": "m"}


@dataclass(frozen=True, slots=True)
class StreamEvents:
    """The events of a streamed response: before its text, one for each word, and those that complete it."""

    opening: tuple[bytes, ...]
    words: tuple[bytes, ...]
    ending: tuple[bytes, ...]

    def all(self) -> tuple[bytes, ...]:
        """Return all events in order."""
        return (*self.opening, *self.words, *self.ending)


def stream_headers(content_type: str = "text/event-stream") -> bytes:
    """Return the headers of a chunked response."""
    return f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


def chunk(data: bytes) -> bytes:
    """Return a chunk of a chunked response; an empty one ends the response."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def stream_events(request: Request, words: Iterable[str] = WORDS) -> StreamEvents:
    """Return the words as a stream of the request's wire."""
    return _anthropic_events(tuple(words)) if request.wire == "anthropic" else _chat_events(tuple(words))


def unary_body(request: Request, words: Iterable[str] = WORDS) -> bytes:
    """Return the words as a complete JSON response of the request's wire."""
    words = tuple(words)
    text = "".join(words)
    if request.wire == "anthropic":
        usage = {"input_tokens": INPUT_TOKENS, "output_tokens": len(words)}
        block = {"type": "text", "text": text}
        fields = {"role": "assistant", "content": [block], "stop_reason": "end_turn", "usage": usage}
        return json.dumps({"id": "msg_1", "type": "message", "model": "m", **fields}).encode()
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    fields = {"object": "chat.completion", "choices": [choice], "usage": chat_usage(len(words))}
    return json.dumps({**_CHAT, **fields}).encode()


def chat_usage(output_tokens: int) -> dict[str, int]:
    """Return the usage object of the chat_completions wire."""
    total = INPUT_TOKENS + output_tokens
    return {"prompt_tokens": INPUT_TOKENS, "completion_tokens": output_tokens, "total_tokens": total}


def sse_event(document: dict[str, Any], name: str = "") -> bytes:
    """Return a server-sent event."""
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(document).encode() + b"\n\n"


def chat_event(delta: dict[str, Any], finish_reason: str | None = None, **fields: Any) -> bytes:
    """Return an event of the chat_completions wire."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return sse_event({**_CHAT, "object": "chat.completion.chunk", "choices": [choice], **fields})


def chat_usage_event(output_tokens: int) -> bytes:
    """Return the usage event of the chat_completions wire."""
    usage = chat_usage(output_tokens)
    return sse_event({**_CHAT, "object": "chat.completion.chunk", "choices": [], "usage": usage})


def anthropic_event(kind: str, **fields: Any) -> bytes:
    """Return an event of the anthropic wire."""
    return sse_event({"type": kind, **fields}, kind)


def _chat_events(words: tuple[str, ...]) -> StreamEvents:
    return StreamEvents(
        (chat_event({"role": "assistant", "content": ""}),),
        tuple(chat_event({"content": word}) for word in words),
        (chat_event({}, "stop"), chat_usage_event(len(words)), DONE),
    )


def _anthropic_events(words: tuple[str, ...]) -> StreamEvents:
    usage = {"input_tokens": INPUT_TOKENS, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    return StreamEvents(
        (
            anthropic_event("message_start", message=message),
            anthropic_event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        ),
        tuple(
            anthropic_event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
            for word in words
        ),
        (
            anthropic_event("content_block_stop", index=0),
            anthropic_event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": len(words)}),
            anthropic_event("message_stop"),
        ),
    )
