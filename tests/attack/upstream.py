"""The provider: answers chat completions and model lists, and counts its requests by method.

Run as `python -m tests.attack.upstream`, it prints its port. GET /counts returns the numbers of the other requests.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections import Counter
from typing import cast

import uvloop

from tests.attack.requests import ANSWER, SLOW_MODEL

BACKLOG = 8192
SLOW_SECONDS = 2.0
SLOW = SLOW_MODEL.partition("/")[2].encode()
HEAD_END = b"\r\n\r\n"
COUNTS_PATH = "/counts"


def _response(document: object) -> bytes:
    body = json.dumps(document).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


COMPLETION = _response(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "small",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
)
MODELS = _response({"object": "list", "data": [{"id": "small", "object": "model", "created": 1, "owned_by": "up"}]})


class Upstream(asyncio.Protocol):
    """Serve one keep-alive connection."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._received = bytearray()
        self._body_start = 0
        self._length = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the responses."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Respond once a request is complete."""
        self._received += data
        if not self._length:
            end = self._received.find(HEAD_END)
            if end < 0:
                return
            head = bytes(self._received[:end]).lower()
            self._body_start = end + len(HEAD_END)
            self._length = self._body_start + int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        if len(self._received) >= self._length:
            request = self._received[: self._length]
            del self._received[: self._length]
            self._length = 0
            self._respond(request.split(b" ", 2)[:2], bytes(request[self._body_start :][:1000]))

    def _respond(self, line: list[bytearray], body: bytes) -> None:
        method, path = (part.decode() for part in line)
        if path == COUNTS_PATH:
            self._transport.write(_response(self._counts))
            return
        self._counts[method] += 1
        if method == "GET":
            self._transport.write(MODELS)
        elif b'"%s"' % SLOW in body:
            asyncio.get_running_loop().call_later(SLOW_SECONDS, self._write_completion)
        else:
            self._write_completion()

    def _write_completion(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(COMPLETION)


def request_counts(port: int) -> dict[str, int]:
    """Return the number of requests that the upstream on a port has received, by method."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{COUNTS_PATH}", timeout=5) as response:
        counts: dict[str, int] = json.load(response)
    return counts


async def serve() -> None:
    """Serve on a free port until killed."""
    counts: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(counts), "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
