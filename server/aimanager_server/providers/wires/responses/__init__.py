"""Speaks OpenAI's Responses API: the wire of its newer models, and the only one on which they think and use tools.

Nothing is left with the provider: each call brings the whole conversation, the model's encrypted reasoning included.
https://developers.openai.com/api/docs/api-reference/responses, read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ....catalog.model import Model
from ....config.providers import ProviderSettings
from ....config.settings import Limits
from ....core.errors import GatewayError, ProviderProtocolError
from ....core.request import Call
from ....core.response import Event
from ..dialect import HttpRequest
from ..json_codec import looks_like_html, read_json
from .errors import fault_of_response, fault_of_status
from .request import body_of
from .response_parser import Answer
from .stream_reader import ResponsesReader

__all__ = ["Responses"]


class Responses:
    """The dialect as one server speaks it. `facts` finds what is known of a model by its id."""

    def __init__(
        self,
        settings: ProviderSettings,
        limits: Limits,
        facts: Callable[[str], Model | None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = settings.base_url.rstrip("/")
        self._headers = dict(settings.headers)
        self._options = settings.options
        self._line_bytes = limits.line_bytes
        self._facts = facts
        self._now = now

    def encode(self, call: Call, key: str) -> HttpRequest:
        """The request for `call.target`. Raises CapabilityUnsupported for a file that this wire cannot carry."""
        headers = self._headers_with(key)
        headers["Content-Type"] = "application/json"
        headers["Accept"] = "text/event-stream" if call.is_upstream_streamed else "application/json"
        body = body_of(call, self._facts(call.target.model), self._options)
        return HttpRequest("POST", f"{self._url}/responses", headers, body)

    def decode(self, body: bytes) -> list[Event]:
        """The events of a whole answer, the same parts that the streamed one would have had."""
        return Answer().conclude(_response_in(body), "completed")

    def reader(self) -> ResponsesReader:
        """A reader for one streamed answer."""
        return ResponsesReader(self._line_bytes)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What a refusal means."""
        return fault_of_response(status, headers, body, self._now())

    def probe(self, key: str) -> HttpRequest:
        """The model list."""
        return HttpRequest("GET", f"{self._url}/models", self._headers_with(key))

    def _headers_with(self, key: str) -> dict[str, str]:
        return {**self._headers, "Authorization": f"Bearer {key}"} if key else dict(self._headers)


def _response_in(body: bytes) -> Mapping[str, Any]:
    try:
        value = read_json(body)
    except ValueError as error:
        what = "a web page" if looks_like_html(body) else "not JSON"
        raise ProviderProtocolError(f"The answer is {what}, of {len(body)} bytes.") from error
    if not isinstance(value, dict):
        raise ProviderProtocolError(f"The answer is {type(value).__name__!r} instead of an object.")
    if not isinstance(value.get("output"), list) and fault_of_status(value, str(value.get("status", ""))) is None:
        raise ProviderProtocolError("The answer holds no list of output items.")
    return value
