"""Reads the lists of models that providers keep: OpenAI's shape, Anthropic's and Google's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ...catalog.model import Model
from ...core.errors import ProviderProtocolError
from ...core.request import Call, Caller, Target
from ..http.provider import HttpProvider
from ..wires.dialect import HttpRequest
from ..wires.json_codec import read_json

LIST_SECONDS = 10.0
MOST_PAGES = 20
MOST_MODELS = 10_000
LONGEST_ID = 256
SIZES = {"limit": "1000", "pageSize": "1000"}
"""How wires ask for a page's size, and the largest they take."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some models, and the parameters that ask for the next page; none on the last."""

    models: tuple[Model, ...]
    following: Mapping[str, str]


class HttpLister:
    """Asks one provider which models it has, with the server's key."""

    def __init__(self, name: str, provider: HttpProvider) -> None:
        self._name = name
        self._provider = provider

    async def models(self) -> tuple[Model, ...]:
        """What the provider lists, in its order, with the little it says of each. Raises GatewayError."""
        found: dict[str, Model] = {}
        parameters: Mapping[str, str] = {}
        deadline = asyncio.get_running_loop().time() + LIST_SECONDS
        call = Call("", Caller(), "", (), (Target(self._name, ""),), deadline)
        for _ in range(MOST_PAGES):
            page = await self._provider.fetch(call, lambda key: self._asking(key, parameters), self._read)  # noqa: B023  # awaited at once
            found.update((model.id, model) for model in page.models)
            parameters = page.following
            if not parameters or len(found) >= MOST_MODELS:
                break
        return tuple(found.values())[:MOST_MODELS]

    def _asking(self, key: str, parameters: Mapping[str, str]) -> HttpRequest:
        request = self._provider.dialect.probe(key)
        url = urlsplit(request.url)
        said = dict(parse_qsl(url.query))
        said = {name: SIZES.get(name, value) for name, value in said.items()} | dict(parameters)
        return replace(request, url=urlunsplit(url._replace(query=urlencode(said))))

    def _read(self, body: bytes) -> Page:
        return page_of(self._name, body)


def page_of(provider: str, body: bytes) -> Page:
    """A page in any of the shapes; entries without a usable id are passed over. Raises ProviderProtocol."""
    try:
        value = read_json(body)
    except ValueError as error:
        raise ProviderProtocolError("The list of models is not JSON.", provider=provider) from error
    listed = value
    if isinstance(value, dict) and ("data" in value or "models" in value):
        listed = value.get("data") or value.get("models") or []
    if not isinstance(listed, list):
        raise ProviderProtocolError("The list of models is no list.", provider=provider)
    models = (_model(provider, entry) for entry in listed if isinstance(entry, dict))
    return Page(tuple(model for model in models if model is not None), _following(value))


def _following(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict):
        return {}
    token, last = value.get("nextPageToken"), value.get("last_id")
    if isinstance(token, str) and token:
        return {"pageToken": token}
    if value.get("has_more") is True and isinstance(last, str) and last:
        return {"after_id": last}
    return {}


def _model(provider: str, entry: Mapping[str, Any]) -> Model | None:
    named = entry.get("id") or entry.get("name")
    if not isinstance(named, str):
        return None
    model_id = named.removeprefix("models/")
    if not 0 < len(model_id) <= LONGEST_ID or not model_id.isprintable():
        return None
    name = entry.get("display_name") or entry.get("displayName")
    return Model(
        provider,
        model_id,
        name=name[:LONGEST_ID] if isinstance(name, str) else "",
        context_window=_count(entry, "max_input_tokens", "inputTokenLimit", "max_model_len", "context_length"),
        max_output=_count(entry, "max_tokens", "outputTokenLimit"),
    )


def _count(entry: Mapping[str, Any], *fields: str) -> int | None:
    numbers = (entry.get(field) for field in fields)
    return next((number for number in numbers if type(number) is int and 0 < number < 2**31), None)
