"""Whole answers in the bytes of both wires, cut into the pieces that a stream of them has."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.integration.faults.upstream import Asked

WORDS = tuple(f"word{number} " for number in range(60))
TEXT = "".join(WORDS)
GIVEN = 11
"""Input tokens, as every answer reports them."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """The events of one answer: before its text, one for each word, and those that prove it complete."""

    opening: tuple[bytes, ...]
    words: tuple[bytes, ...]
    ending: tuple[bytes, ...]

    def whole(self) -> tuple[bytes, ...]:
        """All of them."""
        return (*self.opening, *self.words, *self.ending)


def http(body: bytes, status: str = "200 OK", content_type: str = "application/json", *headers: str) -> bytes:
    """A response with its length."""
    lines = (f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


def begun(content_type: str = "text/event-stream") -> bytes:
    """The headers of a stream."""
    return f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


def chunk(data: bytes) -> bytes:
    """A piece of a stream's body; an empty one ends it."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def streamed(asked: Asked, words: Iterable[str] = WORDS) -> Streamed:
    """The words as a stream of the wire that was asked in."""
    said = tuple(words)
    return _claude(said) if asked.wire == "claude" else _chat(said)


def plain(asked: Asked, words: Iterable[str] = WORDS) -> bytes:
    """The same as one body."""
    said = tuple(words)
    text = "".join(said)
    if asked.wire == "claude":
        usage = {"input_tokens": GIVEN, "output_tokens": len(said)}
        block = {"type": "text", "text": text}
        fields = {"role": "assistant", "content": [block], "stop_reason": "end_turn", "usage": usage}
        return json.dumps({"id": "msg_1", "type": "message", "model": "m", **fields}).encode()
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({**_CHAT, "object": "chat.completion", "choices": [choice], "usage": counts(len(said))}).encode()


def counts(written: int) -> dict[str, int]:
    """Usage as the chat-completions wire has it."""
    return {"prompt_tokens": GIVEN, "completion_tokens": written, "total_tokens": GIVEN + written}


def chat_event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """One event of the chat-completions wire."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event({**_CHAT, "object": "chat.completion.chunk", "choices": [choice], **more})


def event(document: dict[str, Any], name: str = "") -> bytes:
    """One event of either."""
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(document).encode() + b"\n\n"


def claude_event(kind: str, **fields: Any) -> bytes:
    """One event of the claude wire."""
    return event({"type": kind, **fields}, kind)


_CHAT = {"id": "chatcmpl-1", "created": 1, "model": "m"}
DONE = b"data: [DONE]\n\n"


def usage_event(written: int) -> bytes:
    """The count that follows an answer of the chat-completions wire."""
    return event({**_CHAT, "object": "chat.completion.chunk", "choices": [], "usage": counts(written)})


def _chat(words: tuple[str, ...]) -> Streamed:
    return Streamed(
        (chat_event({"role": "assistant", "content": ""}),),
        tuple(chat_event({"content": word}) for word in words),
        (chat_event({}, "stop"), usage_event(len(words)), DONE),
    )


def _claude(words: tuple[str, ...]) -> Streamed:
    usage = {"input_tokens": GIVEN, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    return Streamed(
        (
            claude_event("message_start", message=message),
            claude_event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        ),
        tuple(
            claude_event("content_block_delta", index=0, delta={"type": "text_delta", "text": word}) for word in words
        ),
        (
            claude_event("content_block_stop", index=0),
            claude_event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": len(words)}),
            claude_event("message_stop"),
        ),
    )
