"""Scripted provider servers, and what they observed."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.http_servers.raw import SocketFault


@dataclass(frozen=True, slots=True)
class Delay:
    """Send nothing for this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Flood:
    """Send the same data as fast as the peer reads, without end or `times`."""

    data: bytes
    times: int | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Send nothing until the event is set."""

    until: threading.Event


Step = bytes | SocketFault | Delay | Flood | Pause


@dataclass(slots=True)
class Connection:
    """One connection. Times are monotonic seconds: `peer_closed_at` only if the peer closed it first."""

    bytes_sent: int = 0
    peer_closed_at: float | None = None
    closed_at: float | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A received request; `received_at` is in monotonic seconds."""

    received_at: float
    method: str
    path: str
    headers: dict[str, str]
    body: Any
    connection: Connection

    @property
    def api_key(self) -> str:
        """The API key of the request."""
        return self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")

    @property
    def id(self) -> str:
        """The request id that the gateway sends to chat-completions providers."""
        return self.headers.get("x-client-request-id", "")

    @property
    def wire(self) -> str:
        """The wire of the request."""
        return "anthropic" if self.path.endswith("/messages") else "chat_completions"

    @property
    def is_streaming(self) -> bool:
        """Whether the request asks for a stream."""
        return isinstance(self.body, dict) and self.body.get("stream") is True


Responder = Callable[[Request], Sequence[Step]]
"""Returns the steps of the response to a request."""


def list_models(request: Request) -> Sequence[Step]:
    """Respond to a request for the model list."""
    body = json.dumps({"data": [{"id": "m", "object": "model"}]}).encode()
    return (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body,)


class Upstream:
    """A provider that answers each request with the next responder, and further requests with the last one.

    GET requests are probes: they get `probe_responder` and are recorded in `probes` instead of `requests`. `settings`
    is the provider's table in the gateway's configuration.
    """

    def __init__(
        self,
        *script: Responder,
        name: str = "",
        probe_responder: Responder = list_models,
        tls: ssl.SSLContext | None = None,
        **settings: Any,
    ) -> None:
        self.name = name
        self.probe_responder = probe_responder
        self.tls = tls
        self.settings = {"wire": "chat_completions", "models": ["m", "n"], **settings}
        self.port = 0
        self.requests: list[Request] = []
        self.probes: list[Request] = []
        self.connections: list[Connection] = []
        self.set_script(*script)

    @property
    def url(self) -> str:
        """The base URL of the API."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/v1"

    @property
    def model(self) -> str:
        """The full name of its model."""
        return f"{self.name}/m"

    @property
    def provider_settings(self) -> dict[str, Any]:
        """Its table in the configuration, with address and API key."""
        key = {} if "keys" in self.settings else {"api_key": f"sk-of-{self.name}"}
        return {"base_url": self.url, **key, **self.settings}

    @property
    def open_connections(self) -> int:
        """The number of connections that are open."""
        return sum(connection.closed_at is None for connection in self.connections)

    @property
    def api_keys(self) -> list[str]:
        """The API key of each request."""
        return [request.api_key for request in self.requests]

    def set_script(self, *script: Responder) -> None:
        """Answer further requests with these responders."""
        self._script, self._played = script, 0

    def respond(self, request: Request) -> Sequence[Step]:
        """Record the request and return the steps of its response."""
        if request.method == "GET":
            self.probes.append(request)
            return self.probe_responder(request)
        self.requests.append(request)
        self._played += 1
        return self._script[min(self._played, len(self._script)) - 1](request)
