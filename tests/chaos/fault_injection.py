"""Upstreams that inject faults at random. The text of each response identifies the request it belongs to."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from email.utils import formatdate
from random import Random
from time import time
from typing import Any

from tests.integration.faults.fault_catalog import PING
from tests.integration.faults.upstream import Delay, Flood, Request, Step, Upstream
from tests.integration.faults.wires import chunk, stream_events, stream_headers, unary_body
from tests.support.http_servers.raw import SocketFault, http_response

TIMEOUT = 0.35
"""First-token and idle timeouts of the gateway under load, in seconds."""

Fault = Callable[[Request, tuple[str, ...], Random], Sequence[Step]]
"""Returns the steps of a faulty response, given the request, the words of the correct response and the randomness."""


def prompt_of(request: Request) -> str:
    """Return the first word of the prompt."""
    content = request.body["messages"][-1]["content"]
    return str(content if isinstance(content, str) else content[0]["text"]).partition(" ")[0]


def response_words(upstream: str, prompt: str, number: int) -> tuple[str, ...]:
    """Return the unique response to the n-th request with this prompt at this upstream."""
    tag, length = f"{upstream}.{prompt}.{number}", 3 + Random(f"{upstream}{prompt}{number}").randrange(20)
    padding = "x" * 2000 if "big" in prompt else ""
    words = 60 if padding else length
    return (f"<{tag}:", *(f" {index}{padding}" for index in range(words)), ">")


def is_complete_response(text: str) -> bool:
    """Return whether the text is exactly one complete response."""
    return text == _response_of(text)


def is_response_prefix(text: str) -> bool:
    """Return whether the text is the beginning of one response."""
    return not text or ":" not in text or _response_of(text).startswith(text)


def _response_of(text: str) -> str:
    """Return the complete response that the tag of the text identifies."""
    tag = text.partition(":")[0].removeprefix("<")
    upstream, prompt, number = (*tag.split("."), "", "")[:3]
    return "".join(response_words(upstream, prompt, int(number or 0)))


class FaultInjectingUpstream(Upstream):
    """Injects random faults, determined by the seed, the prompt and the number of requests with this prompt.

    `healthy_share` of the requests get a correct response, and all of them once `is_healthy` is set. `outcomes` counts
    the responses by fault, `resets` the connections reset before any response, by request id.
    """

    def __init__(self, name: str, seed: int, healthy_share: float, **settings: Any) -> None:
        super().__init__(name=name, **settings)
        self.is_healthy = False
        self.outcomes: Counter[str] = Counter()
        self.resets: Counter[str] = Counter()
        self._seed = seed
        self._healthy_share = healthy_share
        self._requests_by_prompt: Counter[str] = Counter()
        self._faults = tuple(FAULTS) + (("rejected_key",) if "keys" in settings else ())

    def respond(self, request: Request) -> Sequence[Step]:
        if request.method == "GET":
            return self._respond_to_probe(request)
        self.requests.append(request)
        prompt = prompt_of(request)
        self._requests_by_prompt[prompt] += 1
        number = self._requests_by_prompt[prompt]
        random = Random(f"{self._seed}/{self.name}/{prompt}/{number}")
        words = response_words(self.name, prompt, number)
        if self.is_healthy or random.random() < self._healthy_share:
            self.outcomes["healthy"] += 1
            return _healthy(request, words, random)
        name = random.choice(self._faults)
        self.outcomes[name] += 1
        if name == "reset_before_headers":
            self.resets[request.id] += 1
        return (_rejected_key if name == "rejected_key" else FAULTS[name])(request, words, random)

    def _respond_to_probe(self, request: Request) -> Sequence[Step]:
        self.probes.append(request)
        random = Random(f"{self._seed}/{self.name}/list/{len(self.probes)}")
        if self.is_healthy or random.random() < 0.7:
            return self.probe_responder(request)
        return (http_response(b"{}", "503 Error"),)


def _healthy(request: Request, words: tuple[str, ...], random: Random) -> Sequence[Step]:
    delay, interval = random.uniform(0.0, 0.12), random.choice((0.0, 0.0, 0.01))
    if not request.is_streaming:
        return (Delay(delay), http_response(unary_body(request, words)))
    events = stream_events(request, words)
    text = (step for word in events.words for step in (chunk(word), Delay(interval) if interval else b""))
    opening, ending = map(chunk, events.opening), map(chunk, events.ending)
    return (stream_headers(), Delay(delay), *opening, *text, *ending, chunk(b""))


def _error(status: int, *headers: str, kind: str = "api_error") -> Sequence[Step]:
    body = json.dumps({"type": "error", "error": {"type": kind, "message": "Not now.", "code": None}}).encode()
    return (http_response(body, f"{status} Error", headers=headers),)


def _rate_limited(request: Request, words: tuple[str, ...], random: Random) -> Sequence[Step]:
    header = random.choice(
        ("Retry-After: 0", "Retry-After: 0.2", "Retry-After: 1", "Retry-After: junk", "retry-after-ms: 50",
         f"Retry-After: {formatdate(time() + 1, usegmt=True)}")
    )  # fmt: skip
    return _error(429, header, kind="rate_limit_error")


def _rejected_key(request: Request, words: tuple[str, ...], random: Random) -> Sequence[Step]:
    return _error(401, kind="authentication_error")


def _in_band_error(request: Request, words: tuple[str, ...], random: Random) -> Sequence[Step]:
    body = b'{"type": "error", "error": {"type": "overloaded_error", "message": "Not now."}}'
    if not request.is_streaming:
        return (http_response(body),)
    events = stream_events(request, words)
    before = (*events.opening, *events.words[:2]) if random.random() < 0.5 else ()
    return (stream_headers(), *map(chunk, before), chunk(b"event: error\ndata: " + body + b"\n\n"), chunk(b""))


def _late(request: Request, words: tuple[str, ...], random: Random) -> Sequence[Step]:
    first, *rest = _healthy(request, words, random)
    return (first, Delay(random.uniform(1.5, 3.0) * TIMEOUT), *rest)


def _interrupted(socket_fault: SocketFault) -> Fault:
    def fault(request: Request, words: tuple[str, ...], random: Random) -> Sequence[Step]:
        if not request.is_streaming:
            response = http_response(unary_body(request, words))
            return (response[: len(response) - 10], Delay(0.01), socket_fault)
        events = stream_events(request, words)
        sent = events.words[: random.randrange(1, len(events.words))]
        return (stream_headers(), *map(chunk, (*events.opening, *sent)), Delay(0.01), socket_fault)

    return fault


def _malformed(request: Request, words: tuple[str, ...], random: Random) -> Sequence[Step]:
    if not request.is_streaming:
        return (http_response(b'{"choices": [{"mess'),)
    events = stream_events(request, words)
    return (stream_headers(), *map(chunk, (*events.opening, *events.words[:2], b"data: {{{\n\n")), chunk(b""))


def _noise(request: Request, words: tuple[str, ...], random: Random) -> Sequence[Step]:
    return (random.randbytes(300), SocketFault.CLOSE)


def _pings(request: Request, words: tuple[str, ...], random: Random) -> Sequence[Step]:
    ping: tuple[Step, ...] = (chunk(PING), Delay(0.1))
    return (stream_headers(), *ping * 100, SocketFault.STALL)


def _slow(request: Request, words: tuple[str, ...], random: Random) -> Sequence[Step]:
    if request.is_streaming:
        events = stream_events(request, words).all()
        return (stream_headers(), *(step for event in events for step in (chunk(event), Delay(0.1))), chunk(b""))
    response = http_response(unary_body(request, words))
    return tuple(step for at in range(0, len(response), 40) for step in (response[at : at + 40], Delay(0.02)))


def _sends(*steps: Step) -> Fault:
    return lambda request, words, random: steps


FAULTS: dict[str, Fault] = {
    "503": lambda request, words, random: _error(503, *(("Retry-After: 0.3",) if random.random() < 0.3 else ())),
    "500": lambda request, words, random: _error(500),
    "429": lambda request, words, random: _error(429, kind="rate_limit_error"),
    "429_with_retry_after": _rate_limited,
    "529": lambda request, words, random: _error(529, kind="overloaded_error"),
    "in_band_error": _in_band_error,
    "reset_before_headers": _sends(SocketFault.RESET),
    "reset_after_headers": _sends(stream_headers(), Delay(0.01), SocketFault.RESET),
    "stall": _sends(SocketFault.STALL),
    "stall_after_headers": _sends(stream_headers(), SocketFault.STALL),
    "late": _late,
    "interrupted_by_close": _interrupted(SocketFault.CLOSE),
    "interrupted_by_reset": _interrupted(SocketFault.RESET),
    "interrupted_by_stall": _interrupted(SocketFault.STALL),
    "malformed": _malformed,
    "noise": _noise,
    "html": _sends(http_response(b"<html>busy</html>", content_type="text/html")),
    "empty": _sends(http_response(b"")),
    "pings": _pings,
    "slow": _slow,
    "flood_of_pings": _sends(stream_headers(), Flood(chunk(PING * 20), 20), SocketFault.STALL),
}
