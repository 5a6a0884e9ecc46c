"""What takes long to filter is filtered in a thread, which ends when its caller has gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from aimanager_server.core.content import Attachment, JsonSchemaFormat, Message, Role, Sampling, Text
from aimanager_server.core.request import Caller, Target
from aimanager_server.core.response import PartCompleted, TextDelta
from aimanager_server.pipeline.safety_filters import MAX_INLINE_CHARACTERS
from aimanager_server.safety.filter_run import TEXT_COST, Abandoned
from tests.pipeline.test_safety_filters import EMAIL, FINISHED, MASK, Layer, user
from tests.support.calls import make_call

LONG = "x" * MAX_INLINE_CHARACTERS


@pytest.mark.parametrize(
    "call",
    [
        {"messages": (user(LONG),)},
        {"messages": (user(LONG * 2, LONG * 2),)},
        {"messages": (user(*["x"] * (MAX_INLINE_CHARACTERS // TEXT_COST)),)},
        {"output_format": JsonSchemaFormat("answer", json.dumps({"description": LONG}))},
        {"targets": (Target("mock", "m", options={"a": {"b": [LONG, 1]}}),)},
        {"targets": (Target("mock", "m", options=dict.fromkeys(map(str, range(200)), 1)),)},
        {"targets": (Target("mock", "m", sampling=Sampling(stop_sequences=(LONG,))),)},
        {"messages": (Message(Role.USER, (Attachment("image/png", data=b"", filename=LONG),)),)},
    ],
    ids=["text", "two texts", "many texts", "schema", "options", "many options", "stop sequences", "filename"],
)
async def test_whatever_takes_long_to_filter_is_filtered_in_a_thread(call: dict[str, Any]) -> None:
    layer = Layer(input=MASK)

    await layer.handle(replace(make_call(caller=Caller("alice")), **call))

    assert layer.callers_in_threads == ["alice"]


async def test_long_structured_output_is_filtered_in_a_thread() -> None:
    layer = Layer(replace(FINISHED, structured_json=json.dumps(LONG)), output=MASK)

    await layer.events(caller=Caller("alice"))

    assert layer.callers_in_threads == ["alice"]


async def test_filtering_ends_when_its_caller_has_gone() -> None:
    layer, begun, ended = Layer(input=MASK), asyncio.Event(), list[type[BaseException]]()

    async def run(caller: str, work: Callable[[], Any]) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            asyncio.get_running_loop().call_soon(finish, work)

    def finish(work: Callable[[], Any]) -> None:
        try:
            work()
        except Abandoned as raised:
            ended.append(type(raised))

    layer.use_threads(run)
    task = asyncio.ensure_future(layer.handle(replace(make_call(), messages=(user(LONG * 2),))))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)

    assert ended == [Abandoned]


async def test_large_texts_are_filtered_in_a_thread_for_their_caller() -> None:
    text = "word " * (MAX_INLINE_CHARACTERS // 5 + 1) + EMAIL
    layer = Layer(TextDelta(0, text), PartCompleted(0, Text(text)), FINISHED, input=MASK, output=MASK)

    file = Attachment("text/plain", data=text.encode())
    events = await layer.events(Message(Role.USER, (file,)), caller=Caller("alice"))

    assert layer.callers_in_threads == ["alice"] * 3
    part = layer.sent.messages[0].parts[0]
    assert isinstance(part, Attachment)
    assert (part.data or b"").endswith(b"[EMAIL_1]")
    assert isinstance(events[-2], PartCompleted)
