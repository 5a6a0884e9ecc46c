"""Responders for scripted upstreams: correct responses, and every fault of a provider."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

from tests.integration.faults.upstream import Delay, Flood, Request, Responder, Step
from tests.integration.faults.wires import (
    TEXT,
    WORDS,
    StreamEvents,
    chunk,
    stream_events,
    stream_headers,
    unary_body,
)
from tests.support.http_servers.raw import SocketFault, http_response

PING = b": ping\n\n"
READ_SECONDS = 0.08
"""Time for the gateway to read what was sent before the connection breaks, since a reset discards unread data."""


def responds(words: Iterable[str] = WORDS, delay: float = 0.0) -> Responder:
    """Send a complete response, unary or streamed as requested; `delay` seconds pass before its content."""
    words = tuple(words)

    def respond(request: Request) -> Sequence[Step]:
        if not request.is_streaming:
            return (Delay(delay), http_response(unary_body(request, words)))
        return (stream_headers(), Delay(delay), *map(chunk, stream_events(request, words).all()), chunk(b""))

    return respond


def fails(status: int, message: str = "Not now.", *headers: str, kind: str = "", code: str = "") -> Responder:
    """Send an error response."""
    error = {"type": kind or "api_error", "message": message, "code": code or None}
    body = json.dumps({"type": "error", "error": error}).encode()
    return sends(http_response(body, f"{status} Error", headers=headers))


def fails_in_band(kind: str = "overloaded_error", after_words: int = 0) -> Responder:
    """Send an error with status 200: as an event after some words of a stream, or as the body."""
    body = json.dumps({"type": "error", "error": {"type": kind, "message": "Not now."}}).encode()

    def respond(request: Request) -> Sequence[Step]:
        if not request.is_streaming:
            return (http_response(body),)
        events = stream_events(request)
        before = (*events.opening, *events.words[:after_words]) if after_words else ()
        return (stream_headers(), *map(chunk, before), chunk(b"event: error\ndata: " + body + b"\n\n"), chunk(b""))

    return respond


def sends(*steps: Step) -> Responder:
    """Perform these steps for every request."""
    return lambda request: steps


def streams(edit: Callable[[StreamEvents], Sequence[Step]], content_type: str = "text/event-stream") -> Responder:
    """Stream the steps that `edit` makes of the events of a complete response; bytes are sent as chunks."""

    def respond(request: Request) -> Sequence[Step]:
        steps = edit(stream_events(request))
        return (stream_headers(content_type), *(chunk(step) if isinstance(step, bytes) else step for step in steps))

    return respond


def stalls() -> Responder:
    """Accept the request and send nothing."""
    return sends(SocketFault.STALL)


def stalls_after_headers() -> Responder:
    """Send the headers of a stream and nothing more."""
    return sends(stream_headers(), SocketFault.STALL)


def pings(interval: float = 0.05) -> Responder:
    """Stream comments without any content."""
    ping: tuple[Step, ...] = (chunk(PING), Delay(interval))
    return sends(stream_headers(), *ping * 200, SocketFault.STALL)


def interrupts(after_words: int = 40, fault: SocketFault = SocketFault.CLOSE) -> Responder:
    """Interrupt the response with the fault after some words of a stream, or within a unary body."""

    def respond(request: Request) -> Sequence[Step]:
        if not request.is_streaming:
            response = http_response(unary_body(request))
            return (response[: len(response) - len(TEXT) // 2], Delay(READ_SECONDS), fault)
        events = stream_events(request)
        sent = (*events.opening, *events.words[:after_words])
        return (stream_headers(), *map(chunk, sent), Delay(READ_SECONDS), fault)

    return respond


def trickles(interval: float) -> Responder:
    """Send a complete response one byte at a time."""

    def respond(request: Request) -> Sequence[Step]:
        data = b"".join(map(chunk, stream_events(request).all()))
        head, body = (stream_headers(), data) if request.is_streaming else (b"", http_response(unary_body(request)))
        return (head, *(step for byte in body for step in (bytes([byte]), Delay(interval))))

    return respond


def floods(data: bytes, times: int | None = None) -> Responder:
    """Stream the same data without end, or `times`, in place of the first word."""

    def respond(request: Request) -> Sequence[Step]:
        opening = stream_events(request).opening
        return (stream_headers(), *map(chunk, opening), Flood(chunk(data), times), SocketFault.STALL)

    return respond
