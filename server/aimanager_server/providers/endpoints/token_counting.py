"""Has providers count the tokens of a question: most wires have an address for it beside the one of answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import from_json, to_json

from ...core.errors import ProviderProtocolError
from ...core.request import Call
from ..http.provider import HttpProvider
from ..wires.dialect import HttpRequest
from .embeddings import object_in


@dataclass(frozen=True, slots=True)
class CountEndpoint:
    """Where a wire counts. `answers` ends the address that answers come from, `counts` takes its place.

    Of the body that would ask for the answer, `fields` are sent, or all of it inside `wrapper`. `count` is the field
    that the number comes in.
    """

    answers: str
    counts: str
    count: str
    fields: frozenset[str] = frozenset()
    wrapper: str = ""

    def body(self, asked: Mapping[str, Any], url: str) -> dict[str, Any]:
        """The body to send."""
        if not self.wrapper:
            return {field: value for field, value in asked.items() if field in self.fields}
        model = url.rpartition(":")[0].rpartition("/")[2]
        return {self.wrapper: {"model": f"models/{model}", **asked}}


# The fields are those that the vendors' own clients send: anthropic 2.12.0, openai 3.54.0, google-genai 3.4.0.
ENDPOINTS = (
    CountEndpoint(
        "/v1/messages",
        "/v1/messages/count_tokens",
        "input_tokens",
        frozenset(
            (
                "cache_control",
                "messages",
                "model",
                "output_config",
                "speed",
                "system",
                "thinking",
                "tool_choice",
                "tools",
            )
        ),
    ),
    CountEndpoint(
        "/responses",
        "/responses/input_tokens",
        "input_tokens",
        frozenset(
            (
                *("conversation", "input", "instructions", "model", "parallel_tool_calls", "personality"),
                *("previous_response_id", "reasoning", "text", "tool_choice", "tools", "truncation"),
            )
        ),
    ),
    CountEndpoint(":generateContent", ":countTokens", "totalTokens", wrapper="generateContentRequest"),
)


class HttpCounter:
    """Counts with one provider's keys and over its connections."""

    def __init__(self, provider: HttpProvider) -> None:
        self._provider = provider

    async def count_tokens(self, call: Call) -> int | None:
        """Tokens of the whole input; None where the wire that serves the model has no address for that."""
        call = replace(call, streaming=False, stream_upstream=False)
        endpoint = endpoint_of(self._provider.dialect.encode(call, "").url)
        if endpoint is None:
            return None

        def encode(key: str) -> HttpRequest:
            return count_request(endpoint, self._provider.dialect.encode(call, key))

        def decode(body: bytes) -> int:
            count = object_in(body).get(endpoint.count)
            if not isinstance(count, int):
                raise ProviderProtocolError(f"The answer holds no number {endpoint.count!r}.")
            return count

        return await self._provider.fetch(call, encode, decode)


def endpoint_of(url: str) -> CountEndpoint | None:
    """Where the wire counts that asks this address for answers.

    >>> endpoint_of("https://api.example/v1/responses?api-version=1").counts
    '/responses/input_tokens'
    >>> endpoint_of("https://api.example/v1/chat/completions")
    """
    path = url.partition("?")[0]
    return next((endpoint for endpoint in ENDPOINTS if path.endswith(endpoint.answers)), None)


def count_request(endpoint: CountEndpoint, asked: HttpRequest) -> HttpRequest:
    """What counts the input of the request for an answer."""
    path, mark, query = asked.url.partition("?")
    url = f"{path.removesuffix(endpoint.answers)}{endpoint.counts}{mark}{query}"
    return replace(asked, url=url, body=to_json(endpoint.body(from_json(asked.body), path)))
