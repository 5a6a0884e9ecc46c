"""Speaks Google's generateContent, the native protocol of the Gemini models.

https://ai.google.dev/api/generate-content, read 2026-11-22. The key goes in a header: in the address it would end up in
logs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from ....catalog.model import Model
from ....config.providers import ProviderSettings
from ....config.settings import Limits
from ....core.errors import GatewayError, ProviderProtocolError
from ....core.request import Call
from ....core.response import Event
from ..dialect import HttpRequest
from ..json_codec import looks_like_html, read_json
from .errors import fault_of_response
from .request import body_of
from .response_parser import Answer
from .stream_reader import GeminiReader


class Gemini:
    """The dialect as one server speaks it. `facts` finds what is known of a model by its id."""

    def __init__(
        self,
        settings: ProviderSettings,
        limits: Limits,
        facts: Callable[[str], Model | None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._base_url = settings.base_url.rstrip("/")
        self._headers = dict(settings.headers)
        self._options = settings.options
        self._line_bytes = limits.line_bytes
        self._facts = facts
        self._now = now

    def encode(self, call: Call, key: str) -> HttpRequest:
        """The request for `call.target`; whether it streams is said by its address."""
        accept = "text/event-stream" if call.is_upstream_streamed else "application/json"
        headers = {**self._headers_with(key), "Accept": accept, "Content-Type": "application/json"}
        # A caller may name any model, so its name must not be able to lead to another address.
        model = quote(call.target.model.removeprefix("models/"), safe="")
        method = "streamGenerateContent?alt=sse" if call.is_upstream_streamed else "generateContent"
        body = body_of(call, self._facts(call.target.model), self._options)
        return HttpRequest("POST", f"{self._base_url}/models/{model}:{method}", headers, body)

    def decode(self, body: bytes) -> list[Event]:
        """The events of a whole answer: one response, or the list of them that a stream without SSE is."""
        answer = Answer()
        for response in _responses_in(body):
            answer.take(response, whole=True)
        if not answer.begun:
            raise ProviderProtocolError("The answer holds no candidate.")
        return answer.finish()

    def reader(self) -> GeminiReader:
        """A reader for one streamed answer."""
        return GeminiReader(self._line_bytes)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What a response that is not a success means."""
        return fault_of_response(status, headers, body, self._now())

    def probe(self, key: str) -> HttpRequest:
        """Its model list, which is free."""
        return HttpRequest("GET", f"{self._base_url}/models?pageSize=1", self._headers_with(key))

    def _headers_with(self, key: str) -> dict[str, str]:
        return {**self._headers, "x-goog-api-key": key} if key else dict(self._headers)


def _responses_in(body: bytes) -> list[Mapping[str, Any]]:
    try:
        value = read_json(body)
    except ValueError as error:
        what = "a web page" if looks_like_html(body) else "not JSON"
        raise ProviderProtocolError(f"The answer is {what}, of {len(body)} bytes.") from error
    responses = value if isinstance(value, list) else [value]
    if not all(isinstance(response, dict) for response in responses):
        raise ProviderProtocolError(f"The answer is {type(value).__name__!r} instead of an object.")
    return responses
