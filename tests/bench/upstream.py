"""The upstream: a chat-completions provider that costs almost no CPU, from raw sockets and precomputed bytes."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

import uvloop

from .workload import ANSWER, BURST, DELAYED, PACE_SECONDS, PACED, TOKEN, TOKENS, WAITING

BACKLOG = 4096
HEADERS = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\nx-request-id: req_bench\r\n%s\r\n\r\n"


def _chunk(**fields: object) -> dict[str, object]:
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "bench", **fields}


def _choice(delta: dict[str, str], finish_reason: str | None = None) -> list[dict[str, object]]:
    return [{"index": 0, "delta": delta, "finish_reason": finish_reason}]


def _event(document: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def _http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _unary() -> bytes:
    document = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "bench",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}],
        "usage": USAGE,
    }
    body = json.dumps(document).encode()
    return HEADERS % (b"application/json", b"content-length: %d" % len(body)) + body


USAGE = {"prompt_tokens": 10, "completion_tokens": TOKENS, "total_tokens": TOKENS + 10}
STREAM_HEADERS = HEADERS % (b"text/event-stream", b"transfer-encoding: chunked")
DELTA = _event(_chunk(choices=_choice({"content": TOKEN})))
END = _event(_chunk(choices=_choice({}, "stop"))) + _event(_chunk(choices=[], usage=USAGE)) + b"data: [DONE]\n\n"
LAST_CHUNK = b"0\r\n\r\n"
UNARY_RESPONSE = _unary()
BURST_RESPONSE = STREAM_HEADERS + _http_chunk(DELTA * TOKENS + END) + LAST_CHUNK
WAITING_RESPONSE = STREAM_HEADERS + _http_chunk(DELTA)


class Upstream(asyncio.Protocol):
    """Serve one keep-alive connection."""

    def __init__(self) -> None:
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the responses."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Respond once a request is complete."""
        self._pending += data
        head, separator, body = self._pending.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        if len(body) >= length:
            self._pending = body[length:]
            self._respond(body[:length])

    def _respond(self, body: bytes) -> None:
        if f'"{PACED}"'.encode() in body:
            self._transport.write(STREAM_HEADERS)
            asyncio.get_running_loop().call_later(PACE_SECONDS, self._send_token, TOKENS)
        elif f'"{BURST}"'.encode() in body:
            self._transport.write(BURST_RESPONSE)
        elif f'"{WAITING}"'.encode() in body:
            self._transport.write(WAITING_RESPONSE)
        elif f'"{DELAYED}"'.encode() in body:
            asyncio.get_running_loop().call_later(PACE_SECONDS, self._transport.write, UNARY_RESPONSE)
        else:
            self._transport.write(UNARY_RESPONSE)

    def _send_token(self, remaining: int) -> None:
        if self._transport.is_closing():
            return
        if not remaining:
            self._transport.write(_http_chunk(END) + LAST_CHUNK)
            return
        self._transport.write(_http_chunk(DELTA))
        asyncio.get_running_loop().call_later(PACE_SECONDS, self._send_token, remaining - 1)


async def serve(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
