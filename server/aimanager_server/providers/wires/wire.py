"""Define what a wire protocol implements: encode, decode, stream reader, error, and a probe request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Protocol

from ...core.errors import GatewayError
from ...core.request import Attempt
from ...core.response import Event, SettingWarning
from ...core.usage import Usage
from ...core.value import dataclass


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """An encoded HTTP request. The headers contain the API key, so `repr` omits them.

    `warnings` lists the caller's settings that the API changes or does not have.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = b""
    warnings: tuple[SettingWarning, ...] = ()


class StreamReader(Protocol):
    """Parse one streamed response incrementally, in bounded memory."""

    @property
    def usage(self) -> Usage:
        """The usage reported so far, which is billed if the stream is interrupted."""
        ...

    @property
    def is_content_complete(self) -> bool:
        """True once all content has arrived: only usage or an end marker may follow, and `end` succeeds."""
        ...

    def feed(self, data: bytes) -> list[Event]:
        """Return the events completed by `data`, with adjacent text merged. Raises GatewayError on an error event.

        After `Finished` was returned, further bytes are ignored.
        """
        ...

    def end(self) -> list[Event]:
        """Return the events completed by the end of the stream.

        Raises ProviderProtocolError if the completion event is missing, because the response is then truncated.
        """
        ...


class Wire(Protocol):
    """Translate between the gateway's types and one wire protocol.

    Implementations are pure: no clock, no network, no state between calls.
    """

    def encode(self, attempt: Attempt[Any], key: str) -> HttpRequest:
        """Return the request for `call.target`, streamed if `call.is_upstream_streamed`. `key` may be empty."""
        ...

    def decode(self, body: bytes) -> list[Event]:
        """Return the events of an unstreamed response. Raises GatewayError for an error or an unreadable body."""
        ...

    def stream_reader(self) -> StreamReader:
        """Return a reader for one streamed response."""
        ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """Return the error for an unsuccessful response. Header names are in lower case."""
        ...

    def probe_request(self, key: str) -> HttpRequest:
        """Return a request without cost that shows whether the provider responds: its model list."""
        ...
