"""What an upstream does to each request by its script, and what was done to it."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any


class Act(Enum):
    """What an upstream can do but send bytes."""

    CLOSE = auto()
    RESET = auto()
    SILENCE = auto()


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing, for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Flood:
    """The same piece again and again, as fast as the other side reads, for ever or `times`."""

    piece: bytes
    times: int | None = None


Step = bytes | Act | Pause | Flood


@dataclass(slots=True)
class Link:
    """One connection. `left_at` is when the other side hung up; `ended_at` when it was gone, whoever hung up."""

    opened_at: float
    sent: int = 0
    left_at: float | None = None
    ended_at: float | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, and the connection it came on."""

    at: float
    method: str
    path: str
    headers: dict[str, str]
    body: Any
    link: Link

    @property
    def key(self) -> str:
        """The key it was sent with."""
        return self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")

    @property
    def wire(self) -> str:
        """The protocol it speaks."""
        return "claude" if self.path.endswith("/messages") else "chat_completions"

    @property
    def streams(self) -> bool:
        """Whether a stream is wanted."""
        return isinstance(self.body, dict) and self.body.get("stream") is True


Answer = Callable[[Asked], Sequence[Step]]


def _lists(asked: Asked) -> Sequence[Step]:
    body = json.dumps({"data": [{"id": "m", "object": "model"}]}).encode()
    return (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body,)


@dataclass(eq=False)
class Upstream:
    """One answer a request, the last for ever; `said` is the operator's configuration of it as a provider.

    Requests for the list of models are answered by `listing` and kept apart in `listings`, so that a probe can be told
    from an attempt.
    """

    script: tuple[Answer, ...]
    listing: Answer
    tls: ssl.SSLContext | None
    said: dict[str, Any]
    port: int = 0
    requests: list[Asked] = field(default_factory=list)
    listings: list[Asked] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    _played: int = 0

    def __init__(
        self, *script: Answer, listing: Answer = _lists, tls: ssl.SSLContext | None = None, **said: Any
    ) -> None:
        self.listing, self.tls = listing, tls
        self.said = {"wire": "chat_completions", "models": ["m", "n"], **said}
        self.requests, self.listings, self.links = [], [], []
        self.plays(*script)

    @property
    def url(self) -> str:
        """Where its API begins."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/v1"

    @property
    def open_now(self) -> int:
        """Connections."""
        return sum(link.ended_at is None for link in self.links)

    @property
    def keys(self) -> list[str]:
        """The key of each request."""
        return [asked.key for asked in self.requests]

    def plays(self, *script: Answer) -> None:
        """From now on."""
        self.script, self._played = script, 0

    def answer(self, asked: Asked) -> Sequence[Step]:
        """What is done to this request."""
        if asked.method == "GET":
            self.listings.append(asked)
            return self.listing(asked)
        self.requests.append(asked)
        self._played += 1
        return self.script[min(self._played, len(self.script)) - 1](asked)
