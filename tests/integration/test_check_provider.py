"""`check_provider` accepts a correct plug-in and reports every problem of an incorrect one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from aimanager_server.catalog.model import Capability, SupportLevel
from aimanager_server.core.content import Text, ToolCall
from aimanager_server.core.errors import ModelNotFound, ProviderOverloaded
from aimanager_server.core.request import Attempt
from aimanager_server.core.response import (
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    ReasoningProgress,
    ResponseMetadata,
    Restarted,
    TextDelta,
    ToolCallDelta,
)
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.testing import check_provider
from tests.support.plugins import FINISHED, HELLO, BatchPlugin, RecordingTransport, ScriptedPlugin, raising

TEXT_ONLY: tuple[Event, ...] = (PartCompleted(0, Text("Hello")), FINISHED)
TOOL_CALL: tuple[Event, ...] = (
    ToolCallDelta(0, "c", "f", '{"a":'),
    ToolCallDelta(0, "", "", "1}"),
    PartCompleted(0, ToolCall("c", "f", '{"a":1}')),
    FINISHED,
)


class CorrectPlugin(ScriptedPlugin):
    """Rejects unknown models and gives the same response unary and streamed."""

    async def generate(self, attempt: Attempt[Any]) -> ResponseStream:
        if attempt.target.model not in self.model_ids:
            raise ModelNotFound("Model not found.")
        return await super().generate(attempt)


class InconsistentPlugin(CorrectPlugin):
    """Streams other events than in its unary response."""

    def __init__(self, whole: Sequence[Event], streamed: Sequence[Event]) -> None:
        super().__init__()
        self._whole, self._streamed = tuple(whole), tuple(streamed)

    async def generate(self, attempt: Attempt[Any]) -> ResponseStream:
        self.steps = self._streamed if attempt.is_streamed else self._whole
        return await super().generate(attempt)


class LeakingPlugin(CorrectPlugin):
    """Leaves a task running for each response."""

    async def generate(self, attempt: Attempt[Any]) -> ResponseStream:
        self.task = asyncio.ensure_future(asyncio.Event().wait())
        return await super().generate(attempt)


class HangingPlugin(CorrectPlugin):
    """Never finishes closing a stream, after the two complete ones."""

    async def _close(self) -> None:
        if self.steps == HELLO and self.closed == 2:
            await asyncio.Event().wait()
        self.closed += 1


class ForeignErrorPlugin(ScriptedPlugin):
    """Raises an error that is not a GatewayError for an unknown model."""

    async def generate(self, attempt: Attempt[Any]) -> ResponseStream:
        if attempt.target.model not in self.model_ids:
            raise KeyError(attempt.target.model)
        return await super().generate(attempt)


class UnknownCapabilityPlugin(CorrectPlugin):
    """Returns capabilities and levels that do not exist."""

    def capabilities(self, model: str) -> Mapping[Any, Any]:
        return {"flying": SupportLevel.NATIVE, Capability.STREAMING: "very"}


def finished(**fields: Any) -> Finished:
    fields.setdefault("usage", Usage(3, 2, source=UsageSource.REPORTED))
    return Finished(fields.pop("reason", FinishReason.STOP), **fields)


@pytest.mark.parametrize(
    "plugin",
    [
        CorrectPlugin(),
        CorrectPlugin(*TOOL_CALL),
        InconsistentPlugin(TEXT_ONLY, (ReasoningProgress(), *HELLO)),
        CorrectPlugin(FINISHED),
    ],
)
async def test_a_correct_plug_in_passes(plugin: ScriptedPlugin) -> None:
    transport = RecordingTransport()

    await check_provider(plugin, transport=transport)

    assert transport.closed
    assert {attempt.is_streamed for attempt in plugin.attempts} == {True, False}


async def test_a_plug_in_can_be_checked_with_its_own_transport_settings_and_model() -> None:
    plugin = CorrectPlugin()

    await check_provider(plugin, settings={"options": {"a": 1}}, model="two", prompt="Why?")

    assert {attempt.target.model for attempt in plugin.attempts} == {"two"}


class InvalidNamePlugin(CorrectPlugin):
    name = "No name"


@pytest.mark.parametrize(
    ("plugin", "problem"),
    [
        (InvalidNamePlugin(), "name must be 1 to 63 characters"),
        (CorrectPlugin(model_ids=[]), "models() is empty: pass the model to call"),
        (CorrectPlugin(model_ids=["one", ""]), "models() must return non-empty strings"),
        (CorrectPlugin(model_ids=["one", "one"]), "models() returns a duplicate id"),
        (UnknownCapabilityPlugin(), "capabilities('one') must map Capability to SupportLevel, got 'flying'"),
        (UnknownCapabilityPlugin(), "'streaming'>: 'very'"),
        (
            CorrectPlugin(raising(ProviderOverloaded("busy"))),
            "the unary response failed with PROVIDER_OVERLOADED: busy",
        ),
        (CorrectPlugin(HELLO[0]), "the unary response failed with STREAM_INTERRUPTED: Stream interrupted after"),
        (BatchPlugin(FINISHED, FINISHED), "the streamed response must end with exactly one Finished event"),
        (CorrectPlugin(PartCompleted(1, Text("x")), FINISHED), "must complete each part once, with indices 0, 1, 2"),
        (
            CorrectPlugin(TextDelta(0, "x"), PartCompleted(0, Text("y")), FINISHED),
            "has deltas of part 0 that do not add up",
        ),
        (CorrectPlugin(*HELLO[:-1], finished(usage=Usage())), "must report token usage"),
        (
            CorrectPlugin(*HELLO[:-1], finished(usage=Usage(0, 2, source=UsageSource.REPORTED))),
            "must report token usage",
        ),
        (
            InconsistentPlugin(TEXT_ONLY, TOOL_CALL),
            "unary and streamed responses have different parts: ['Text'] and ['ToolCall']",
        ),
        (
            InconsistentPlugin(TEXT_ONLY, (*HELLO[:-1], finished(reason=FinishReason.MAX_TOKENS))),
            "unary and streamed responses have different finish reasons: stop and max_tokens",
        ),
        (
            CorrectPlugin(HELLO[0], Restarted(ResponseMetadata("1", "", "", "")), *HELLO[1:]),
            "the streamed response must not contain Restarted events",
        ),
        (LeakingPlugin(), "leaves 1 tasks running"),
        (HangingPlugin(), "closing a stream must take at most 1 s"),
        (ForeignErrorPlugin(), "a call of an unknown model must raise GatewayError, got KeyError"),
    ],
)
async def test_each_problem_is_reported(plugin: ScriptedPlugin, problem: str) -> None:
    with pytest.raises(AssertionError, match="The plug-in does not meet") as caught:
        await check_provider(plugin, transport=RecordingTransport())

    assert problem in str(caught.value)


async def test_a_stream_without_events_is_reported_once() -> None:
    class Empty(CorrectPlugin):
        async def generate(self, attempt: Attempt[Any]) -> ResponseStream:
            async def nothing() -> Any:
                return
                yield

            return ResponseStream.from_iterator(ResponseMetadata("", "", "", ""), nothing(), self._close)

    with pytest.raises(AssertionError, match="unary response failed with PROVIDER_PROTOCOL: The stream ended without"):
        await check_provider(Empty(), transport=RecordingTransport())
