"""A provider plug-in, whole: it needs no network, so that it shows the interface alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from aimanager_server.catalog.model import Capability, Level
from aimanager_server.config.providers import ProviderSettings
from aimanager_server.core.content import Text
from aimanager_server.core.errors import ModelNotFound
from aimanager_server.core.handler import Clock, Handler
from aimanager_server.core.request import Call
from aimanager_server.core.response import (
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    ResponseMetadata,
    ResponseStream,
    TextDelta,
)
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.providers.plugins.api import Transport

MODELS = ("loud", "louder")


class Shout:
    """Says the last question back in capitals; `louder` adds exclamation marks, as many as option `marks` says."""

    name = "shout"
    api_version = 1

    def open(self, settings: ProviderSettings, transport: Transport, clock: Clock) -> Handler:
        """The handler; a provider with a network would keep the transport and the keys."""
        marks = int(settings.options.get("marks", 3))

        async def answer(call: Call) -> ResponseStream:
            model = call.target.model
            if model not in MODELS:
                raise ModelNotFound(f"There is no model {model!r}; there are {', '.join(MODELS)}.", model=model)
            words = _question(call).upper().split()
            text = " ".join(words) + ("!" * marks if model == "louder" else "")
            head = ResponseMetadata(call.id, call.requested_model, self.name, model)
            return ResponseStream(head, _events(text, len(words)), _nothing)

        return answer

    async def models(self) -> Sequence[str]:
        """Both of them."""
        return MODELS

    def capabilities(self, model: str) -> Mapping[Capability, Level]:
        """It streams, and does little else."""
        return {
            Capability.STREAMING: Level.NATIVE,
            Capability.IMAGE_INPUT: Level.NONE,
            Capability.TOOL_CALLING: Level.NONE,
        }


def _question(call: Call) -> str:
    return " ".join(part.text for part in call.messages[-1].parts if isinstance(part, Text))


async def _events(text: str, words: int) -> AsyncIterator[Event]:
    for place, word in enumerate(text.split(" ")):
        yield TextDelta(0, f" {word}" if place else word)
    yield PartCompleted(0, Text(text))
    yield Finished(FinishReason.STOP, "stop", Usage(words, words, source=UsageSource.REPORTED))


async def _nothing() -> None: ...
