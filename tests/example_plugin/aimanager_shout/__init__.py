"""A complete provider plug-in. It needs no network, so that it shows only the interface."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from aimanager_server.plugins import (
    Attempt,
    AttemptHandler,
    Capability,
    Clock,
    Event,
    Finished,
    FinishReason,
    ModelNotFound,
    PartCompleted,
    ProviderSettings,
    ResponseMetadata,
    ResponseStream,
    SupportLevel,
    Text,
    TextDelta,
    Transport,
    Usage,
    UsageSource,
)

MODELS = ("loud", "louder")


class Shout:
    """Repeat the last message in capitals. Model `louder` appends as many exclamation marks as option `marks` says."""

    name = "shout"
    api_version = 1

    def open(self, settings: ProviderSettings, transport: Transport, clock: Clock) -> AttemptHandler:
        """Return the handler. A provider with a network would keep the transport and the API keys."""
        marks = int(settings.options.get("marks", 3))

        async def generate(attempt: Attempt[Any]) -> ResponseStream:
            model = attempt.target.model
            if model not in MODELS:
                raise ModelNotFound(f"Model {model!r} not found; available models: {', '.join(MODELS)}.", model=model)
            words = _last_message(attempt).upper().split()
            text = " ".join(words) + ("!" * marks if model == "louder" else "")
            metadata = ResponseMetadata(attempt.id, attempt.requested_model, self.name, model)
            return ResponseStream.from_iterator(metadata, _events(text, len(words)), _close)

        return generate

    async def models(self) -> Sequence[str]:
        """Return both models."""
        return MODELS

    def capabilities(self, model: str) -> Mapping[Capability, SupportLevel]:
        """Support streaming only."""
        return {
            Capability.STREAMING: SupportLevel.NATIVE,
            Capability.IMAGE_INPUT: SupportLevel.NONE,
            Capability.TOOL_CALLING: SupportLevel.NONE,
        }


def _last_message(attempt: Attempt[Any]) -> str:
    return " ".join(part.text for part in attempt.messages[-1].parts if isinstance(part, Text))


async def _events(text: str, words: int) -> AsyncIterator[Event]:
    for index, word in enumerate(text.split(" ")):
        yield TextDelta(0, f" {word}" if index else word)
    yield PartCompleted(0, Text(text))
    yield Finished(FinishReason.STOP, "stop", Usage(words, words, source=UsageSource.REPORTED))


async def _close() -> None:
    """Release nothing: the stream holds no connection."""
