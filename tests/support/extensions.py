"""Extensions that record what they see, and settings that enable them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from aimanager import AIManager
from aimanager_server.config.settings import Settings
from aimanager_server.extensions import (
    Event,
    ExtensionCall,
    ExtensionRequest,
    ExtensionResponse,
    FeatureExtension,
    FeatureManager,
    Message,
    Text,
)
from tests.support.gateway import settings_with, started_gateway

MODEL = "mock/latest"


class Tagging:
    """Appends its tag to the last message and to the answer, and records every call of its methods."""

    api_version = 1

    def __init__(self, name: str = "tagging", *, only_watches: bool = False) -> None:
        self.name = name
        self.only_watches = only_watches
        self.seen: list[tuple[str, str]] = []
        self.requests: list[ExtensionRequest] = []
        self.responses: list[ExtensionResponse] = []
        self.calls: list[ExtensionCall] = []
        self.events: list[Event] = []

    async def on_request(self, call: ExtensionCall, request: ExtensionRequest) -> ExtensionRequest | None:
        self.seen.append(("on_request", call.id))
        self.calls.append(call)
        self.requests.append(request)
        return None if self.only_watches else replace(request, messages=tagged(request.messages, self.name))

    async def on_completion(self, call: ExtensionCall, response: ExtensionResponse) -> ExtensionResponse:
        self.seen.append(("on_completion", call.id))
        self.responses.append(response)
        return response.with_text(f"{response.text} -{self.name}")


class Watching(Tagging):
    """Watches the events too, and changes nothing."""

    def __init__(self, name: str = "watching") -> None:
        super().__init__(name, only_watches=True)

    def on_events(self, call: ExtensionCall, events: Sequence[Event]) -> None:
        self.events += events


class DictTagging(FeatureExtension):
    """As Tagging, in the form of the design document."""

    def __init__(self, name: str = "dicts") -> None:
        self._name = name

    def get_feature_name(self) -> str:
        return self._name

    def process_request(self, request_data: dict[str, Any]) -> dict[str, Any]:
        request_data["messages"][-1]["parts"].append({"text": f"+{self._name}"})
        return request_data

    def process_response(self, response_data: dict[str, Any]) -> dict[str, Any]:
        return {**response_data, "content": f"{response_data['content']} -{self._name}"}


def tagged(messages: Sequence[Message], tag: str) -> tuple[Message, ...]:
    """The messages, with the tag as one more part of the last one."""
    last = messages[-1]
    return (*messages[:-1], replace(last, parts=(*last.parts, Text(f"+{tag}"))))


def features(*extensions: Any) -> FeatureManager:
    """A manager with these extensions, which knows no installed ones."""
    manager = FeatureManager([])
    for extension in extensions:
        manager.register_extension(extension)
    return manager


def enabling(*names: str, each: dict[str, Any] | None = None, **sections: Any) -> Settings:
    """Settings that enable the extensions of these names, each with the same settings."""
    tables = {} if each is None else dict.fromkeys(names, each)
    return settings_with(extensions={"enabled": list(names), "settings": tables}, **sections)


@contextmanager
def client(
    *extensions: Any, each: dict[str, Any] | None = None, retries: int = 0, **sections: Any
) -> Iterator[AIManager]:
    """A client of a gateway that uses these extensions, in this order."""
    manager = features(*extensions)
    settings = enabling(*manager.extensions, each=each, **sections)
    with (
        started_gateway(settings, features=manager) as target,
        AIManager.gateway(target, model=MODEL, retries=retries) as ai,
    ):
        yield ai
