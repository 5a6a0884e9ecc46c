"""A scripted handler below the layer under test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from aimanager_server.core.content import Text
from aimanager_server.core.errors import GatewayError
from aimanager_server.core.request import Attempt, Call
from aimanager_server.core.response import (
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    ResponseMetadata,
    TextDelta,
)
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Usage, UsageSource

USAGE = Usage(input_tokens=3, output_tokens=2, source=UsageSource.REPORTED)
FINISHED = Finished(FinishReason.STOP, "stop", USAGE)
RESPONSE_EVENTS: tuple[Event, ...] = (TextDelta(0, "Hello."), PartCompleted(0, Text("Hello.")), FINISHED)


class ScriptedUpstream:
    """Handles each call or attempt with the next outcome, and further ones with the last outcome.

    An outcome is an error to raise, or the events of a response. An error among the events interrupts the stream.
    """

    def __init__(self, *outcomes: GatewayError | tuple[Event | GatewayError, ...]) -> None:
        self._outcomes = outcomes or (RESPONSE_EVENTS,)
        self.requests: list[Any] = []
        self.closed = 0

    async def __call__(self, request: Call | Attempt[Any]) -> ResponseStream:
        outcome = self._outcomes[min(len(self.requests), len(self._outcomes) - 1)]
        self.requests.append(request)
        if isinstance(outcome, GatewayError):
            raise outcome
        target = request.target
        metadata = ResponseMetadata(
            request.id, request.requested_model, target.provider, target.model, warnings=target.warnings
        )
        return ResponseStream.from_iterator(metadata, _events(outcome), self._close)

    async def _close(self) -> None:
        self.closed += 1


async def _events(outcome: tuple[Event | GatewayError, ...]) -> AsyncIterator[Event]:
    for event in outcome:
        if isinstance(event, GatewayError):
            raise event
        yield event
