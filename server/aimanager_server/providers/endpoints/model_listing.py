"""List the models of a provider, in the response formats of OpenAI, Anthropic and Google."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ...catalog.model import Model
from ...core.errors import ProviderProtocolError
from ...core.request import Attempt, Call, Caller, Target
from ..http.provider import HttpProvider
from ..wires.json_codec import decode_json
from ..wires.wire import HttpRequest

LIST_TIMEOUT_SECONDS = 10.0
MAX_PAGES = 20
MAX_MODELS = 10_000
MAX_ID_LENGTH = 256
MAX_PAGE_SIZES = {"limit": "1000", "pageSize": "1000"}
"""The page size parameter of each wire, with the largest value it accepts."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of models. `next_page` holds the query parameters of the next page; empty on the last."""

    models: tuple[Model, ...]
    next_page: Mapping[str, str]


class HttpModelLister:
    """List the models of one provider with the server's API key."""

    def __init__(self, name: str, provider: HttpProvider) -> None:
        self._name = name
        self._provider = provider

    async def models(self) -> tuple[Model, ...]:
        """Return the models in the provider's order, with the details that it reports. Raises GatewayError."""
        found: dict[str, Model] = {}
        parameters: Mapping[str, str] = {}
        deadline = asyncio.get_running_loop().time() + LIST_TIMEOUT_SECONDS
        call = Call("", Caller(), "", (), (Target(self._name, ""),), deadline)
        attempt = Attempt.of(call, call.target, deadline - LIST_TIMEOUT_SECONDS)
        for _ in range(MAX_PAGES):
            encode = partial(self._request, parameters=parameters)
            page = await self._provider.exchange(attempt, encode, self._parse, is_control=True)
            found.update((model.id, model) for model in page.models)
            parameters = page.next_page
            if not parameters or len(found) >= MAX_MODELS:
                break
        return tuple(found.values())[:MAX_MODELS]

    def _request(self, key: str, parameters: Mapping[str, str]) -> HttpRequest:
        request = self._provider.wire.probe_request(key)
        url = urlsplit(request.url)
        query = dict(parse_qsl(url.query))
        query = {name: MAX_PAGE_SIZES.get(name, value) for name, value in query.items()} | dict(parameters)
        return replace(request, url=urlunsplit(url._replace(query=urlencode(query))))

    def _parse(self, body: bytes) -> Page:
        return parse_page(self._name, body)


def parse_page(provider: str, body: bytes) -> Page:
    """Parse a page in any of the formats. Entries without a usable id are skipped. Raises ProviderProtocolError."""
    try:
        value = decode_json(body)
    except ValueError as error:
        raise ProviderProtocolError("The provider's model list is not valid JSON.", provider=provider) from error
    entries = value
    if isinstance(value, dict) and ("data" in value or "models" in value):
        entries = value.get("data") or value.get("models") or []
    if not isinstance(entries, list):
        raise ProviderProtocolError("The provider's model list must be a JSON array.", provider=provider)
    models = (_parse_model(provider, entry) for entry in entries if isinstance(entry, dict))
    return Page(tuple(model for model in models if model is not None), _next_page(value))


def _next_page(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict):
        return {}
    token, last_id = value.get("nextPageToken"), value.get("last_id")
    if isinstance(token, str) and token:
        return {"pageToken": token}
    if value.get("has_more") is True and isinstance(last_id, str) and last_id:
        return {"after_id": last_id}
    return {}


def _parse_model(provider: str, entry: Mapping[str, Any]) -> Model | None:
    raw_id = entry.get("id") or entry.get("name")
    if not isinstance(raw_id, str):
        return None
    model_id = raw_id.removeprefix("models/")
    if not 0 < len(model_id) <= MAX_ID_LENGTH or not model_id.isprintable():
        return None
    name = entry.get("display_name") or entry.get("displayName")
    return Model(
        provider,
        model_id,
        name=name[:MAX_ID_LENGTH] if isinstance(name, str) else "",
        context_window=_token_limit(entry, "max_input_tokens", "inputTokenLimit", "max_model_len", "context_length"),
        max_output_tokens=_token_limit(entry, "max_tokens", "outputTokenLimit"),
    )


def _token_limit(entry: Mapping[str, Any], *fields: str) -> int | None:
    numbers = (entry.get(field) for field in fields)
    return next((number for number in numbers if type(number) is int and 0 < number < 2**31), None)
