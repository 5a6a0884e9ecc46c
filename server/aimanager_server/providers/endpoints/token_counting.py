"""Count input tokens with the provider's own endpoint, which most wires have next to generation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import from_json, to_json

from ...core.errors import ProviderProtocolError
from ...core.request import Attempt
from ..http.provider import HttpProvider
from ..wires.token_counts import parse_token_count
from ..wires.wire import HttpRequest
from .embeddings import parse_json_object


@dataclass(frozen=True, slots=True)
class CountTokensEndpoint:
    """The token counting endpoint of one wire. `counting_path` replaces `generation_path` at the end of the URL.

    The body is the generation request reduced to `fields`, or all of it nested under `wrapper`. The response holds the
    count in `result_field`.
    """

    generation_path: str
    counting_path: str
    result_field: str
    fields: frozenset[str] = frozenset()
    wrapper: str = ""

    def body(self, generation_body: Mapping[str, Any], url: str) -> dict[str, Any]:
        """Return the body to send."""
        if not self.wrapper:
            return {field: value for field, value in generation_body.items() if field in self.fields}
        model = url.rpartition(":")[0].rpartition("/")[2]
        return {self.wrapper: {"model": f"models/{model}", **generation_body}}


# The fields are those of the vendors' own clients: anthropic 2.12.0, openai 3.54.0, google-genai 3.4.0.
ENDPOINTS = (
    CountTokensEndpoint(
        "/v1/messages",
        "/v1/messages/count_tokens",
        "input_tokens",
        frozenset(
            (
                *("cache_control", "messages", "model", "output_config", "speed", "system"),
                *("thinking", "tool_choice", "tools"),
            )
        ),
    ),
    CountTokensEndpoint(
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
    CountTokensEndpoint(":generateContent", ":countTokens", "totalTokens", wrapper="generateContentRequest"),
)


class HttpTokenCounter:
    """Count tokens with the API keys and connections of an HttpProvider."""

    def __init__(self, provider: HttpProvider) -> None:
        self._provider = provider

    async def count_tokens(self, attempt: Attempt[Any]) -> int | None:
        """Return the tokens of the whole input; None if the wire of the model has no counting endpoint."""
        attempt = replace(attempt, is_streamed=False)
        endpoint = find_endpoint(self._provider.wire.encode(attempt, "").url)
        if endpoint is None:
            return None

        def encode(key: str) -> HttpRequest:
            return build_count_request(endpoint, self._provider.wire.encode(attempt, key))

        def decode(body: bytes) -> int:
            count = parse_token_count(parse_json_object(body).get(endpoint.result_field))
            if count is None:
                raise ProviderProtocolError(
                    f"The provider's response is missing the token count {endpoint.result_field!r}."
                )
            return count

        return await self._provider.exchange(attempt, encode, decode)


def find_endpoint(generation_url: str) -> CountTokensEndpoint | None:
    """Return the counting endpoint of the wire with this generation URL; None if it has none.

    >>> find_endpoint("https://api.example/v1/responses?api-version=1").counting_path
    '/responses/input_tokens'
    >>> find_endpoint("https://api.example/v1/chat/completions")
    """
    path = generation_url.partition("?")[0]
    return next((endpoint for endpoint in ENDPOINTS if path.endswith(endpoint.generation_path)), None)


def build_count_request(endpoint: CountTokensEndpoint, generation_request: HttpRequest) -> HttpRequest:
    """Return the request that counts the input of a generation request."""
    path, mark, query = generation_request.url.partition("?")
    url = f"{path.removesuffix(endpoint.generation_path)}{endpoint.counting_path}{mark}{query}"
    return replace(generation_request, url=url, body=to_json(endpoint.body(from_json(generation_request.body), path)))
