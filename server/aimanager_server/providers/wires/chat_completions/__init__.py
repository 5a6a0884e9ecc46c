"""The chat-completions wire: OpenAI's older protocol, which most other servers speak."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from ....config.providers import ProviderSettings
from ....config.settings import Limits
from ....core.errors import GatewayError, ProviderProtocolError
from ....core.request import Call
from ....core.response import Event
from ..dialect import HttpRequest
from ..json_codec import looks_like_html, read_json
from ..provider_errors import fault_of, read_error
from .quirks import Quirks
from .request import body_of
from .response_parser import Answer
from .stream_reader import ChatReader

__all__ = ["ChatCompletions", "Quirks"]


class ChatCompletions:
    """The wire as one server speaks it. `quirks` gives the row of facts for a model."""

    def __init__(
        self,
        settings: ProviderSettings,
        limits: Limits,
        quirks: Callable[[str], Quirks],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = settings.base_url.rstrip("/")
        self._headers = dict(settings.headers)
        self._options = settings.options
        self._line_bytes = limits.line_bytes
        self._quirks = quirks
        self._now = now

    def encode(self, call: Call, key: str) -> HttpRequest:
        """The request for `call.target`. Raises CapabilityUnsupported for a file that this wire cannot carry."""
        headers = self._headers_with(key)
        headers["Content-Type"] = "application/json"
        headers["Accept"] = "text/event-stream" if call.is_upstream_streamed else "application/json"
        body = body_of(call, self._quirks(call.target.model), self._options)
        return HttpRequest("POST", f"{self._url}/chat/completions", headers, body)

    def decode(self, body: bytes) -> list[Event]:
        """The events of a whole answer; blank lines before it are skipped, as DeepSeek sends them while queued."""
        answer = Answer()
        answer.take(_object_in(body), "message")
        if not answer.begun:
            raise ProviderProtocolError("The answer holds no choice.")
        return answer.finish()

    def reader(self) -> ChatReader:
        """A reader for one streamed answer."""
        return ChatReader(self._line_bytes)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What a refusal means."""
        return fault_of(status, headers, read_error(body), self._now())

    def probe(self, key: str) -> HttpRequest:
        """The model list."""
        return HttpRequest("GET", f"{self._url}/models", self._headers_with(key))

    def _headers_with(self, key: str) -> dict[str, str]:
        return {**self._headers, "Authorization": f"Bearer {key}"} if key else dict(self._headers)


def chat_completions(settings: ProviderSettings, limits: Limits) -> ChatCompletions:
    """An unknown server of this wire."""
    quirks = Quirks()
    return ChatCompletions(settings, limits, lambda model: quirks)


def _object_in(body: bytes) -> Mapping[str, object]:
    if not body.strip():
        raise ProviderProtocolError("The answer is empty.")
    try:
        value = read_json(body)
    except ValueError as error:
        what = "a web page" if looks_like_html(body) else "not JSON"
        raise ProviderProtocolError(f"The answer is {what}, of {len(body)} bytes.") from error
    if not isinstance(value, dict):
        raise ProviderProtocolError(f"The answer is {type(value).__name__!r} instead of an object.")
    return value
