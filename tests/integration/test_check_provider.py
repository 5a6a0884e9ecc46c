"""What `check_provider` finds wrong with a plug-in, and that it finds nothing wrong with a good one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from aimanager_server.catalog.model import Capability, Level
from aimanager_server.core.content import Text, ToolCall
from aimanager_server.core.errors import ModelNotFound, ProviderOverloaded
from aimanager_server.core.request import Call
from aimanager_server.core.response import (
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    ReasoningProgress,
    ResponseMetadata,
    ResponseStream,
    Restarted,
    TextDelta,
    ToolCallDelta,
)
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.testing import check_provider
from tests.support.plugins import FINISHED, HELLO, Pipe, Told, raising

WHOLE: tuple[Event, ...] = (PartCompleted(0, Text("Hello")), FINISHED)
CALLS: tuple[Event, ...] = (
    ToolCallDelta(0, "c", "f", '{"a":'),
    ToolCallDelta(0, "", "", "1}"),
    PartCompleted(0, ToolCall("c", "f", '{"a":1}')),
    FINISHED,
)


class Good(Told):
    """Knows its models, and says the same whole and streamed."""

    async def answer(self, call: Call) -> ResponseStream:
        if call.target.model not in self.listed:
            raise ModelNotFound("There is no such model.")
        return await super().answer(call)


class Different(Good):
    """Streams something else than it says whole."""

    def __init__(self, whole: Sequence[Event], streamed: Sequence[Event]) -> None:
        super().__init__()
        self._whole, self._streamed = tuple(whole), tuple(streamed)

    async def answer(self, call: Call) -> ResponseStream:
        self.steps = self._streamed if call.streaming else self._whole
        return await super().answer(call)


class Leaky(Good):
    """Leaves a task behind for each answer."""

    async def answer(self, call: Call) -> ResponseStream:
        self.task = asyncio.ensure_future(asyncio.Event().wait())
        return await super().answer(call)


class Slow(Good):
    """Never lets go."""

    async def _close(self) -> None:
        if self.steps == HELLO and self.closed >= 4:
            await asyncio.Event().wait()
        self.closed += 1


class Rude(Told):
    """Raises what is no Fault for a model it does not know."""

    async def answer(self, call: Call) -> ResponseStream:
        if call.target.model not in self.listed:
            raise KeyError(call.target.model)
        return await super().answer(call)


class Boastful(Good):
    """Says what it can in words of its own."""

    def capabilities(self, model: str) -> Mapping[Any, Any]:
        return {"flying": Level.NATIVE, Capability.STREAMING: "very"}


def finished(**facts: Any) -> Finished:
    facts.setdefault("usage", Usage(3, 2, source=UsageSource.REPORTED))
    return Finished(facts.pop("reason", FinishReason.STOP), **facts)


@pytest.mark.parametrize(
    "plugin", [Good(), Good(*CALLS), Different(WHOLE, (ReasoningProgress(), *HELLO)), Good(FINISHED)]
)
async def test_a_good_plug_in_passes(plugin: Told) -> None:
    pipe = Pipe()

    await check_provider(plugin, transport=pipe)

    assert pipe.closed
    assert {call.streaming for call in plugin.calls} == {True, False}


async def test_a_plug_in_may_be_checked_over_connections_of_its_own_with_settings_and_a_model() -> None:
    plugin = Good()

    await check_provider(plugin, settings={"options": {"a": 1}}, model="two", question="Why?")

    assert {call.target.model for call in plugin.calls} == {"two"}


class Nameless(Good):
    name = "No name"


@pytest.mark.parametrize(
    ("plugin", "flaw"),
    [
        (Nameless(), "its name is not"),
        (Good(listed=[]), "models() is empty: name a model to ask"),
        (Good(listed=["one", ""]), "models() lists something that is no id"),
        (Good(listed=["one", "one"]), "models() lists an id twice"),
        (Boastful(), "capabilities('one') holds 'flying'"),
        (Boastful(), "'very', no Capability and Level"),
        (Good(raising(ProviderOverloaded("busy"))), "the whole answer failed with PROVIDER_OVERLOADED: busy"),
        (Good(HELLO[0]), "the whole answer does not end with the one event Finished"),
        (Good(FINISHED, FINISHED), "the streamed answer does not end with the one event Finished"),
        (Good(PartCompleted(1, Text("x")), FINISHED), "does not number its parts 0, 1, 2"),
        (Good(TextDelta(0, "x"), PartCompleted(0, Text("y")), FINISHED), "deltas of part 0 that do not add up"),
        (Good(*HELLO[:-1], finished(usage=Usage())), "has no usage"),
        (Good(*HELLO[:-1], finished(usage=Usage(0, 2, source=UsageSource.REPORTED))), "has no usage"),
        (Different(WHOLE, CALLS), "whole and streamed answers differ: ['Text'] and ['ToolCall']"),
        (
            Different(WHOLE, (*HELLO[:-1], finished(reason=FinishReason.MAX_TOKENS))),
            "whole and streamed answers end differently: stop and max_tokens",
        ),
        (
            Good(HELLO[0], Restarted(ResponseMetadata("1", "", "", "")), *HELLO[1:]),
            "the streamed answer says that it restarts",
        ),
        (Leaky(), "leaves 1 tasks running"),
        (Slow(), "closing an answer takes longer than 1 s"),
        (Rude(), "a model that does not exist raises KeyError; accepted is a GatewayError"),
    ],
)
async def test_what_is_wrong_is_told(plugin: Told, flaw: str) -> None:
    with pytest.raises(AssertionError, match="The plug-in is not ready") as caught:
        await check_provider(plugin, transport=Pipe())

    assert flaw in str(caught.value)


async def test_an_answer_that_never_begins_is_left_to_the_answers_to_tell() -> None:
    class Empty(Good):
        async def answer(self, call: Call) -> ResponseStream:
            async def nothing() -> Any:
                return
                yield

            return ResponseStream(ResponseMetadata("", "", "", ""), nothing(), self._close)

    with pytest.raises(AssertionError, match="does not end with"):
        await check_provider(Empty(), transport=Pipe())
